package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"go-jwt-auth/plugin"
	"go-jwt-auth/plugin/chain"
	"go-jwt-auth/plugin/config"
	"go-jwt-auth/plugin/event"
	"go-jwt-auth/plugin/provider"
)

// places are where jwt.json is looked for when no file is named. The plugin itself looks into the last two only.
var places = []string{"/etc/mosquitto", "/mosquitto/config", "/mosquitto/data", "/var/lib/mosquitto"}

// locate returns the file that was named, or the first there is.
func locate(named string) (string, error) {
	if named != "" {
		return named, nil
	}
	return config.Locate(config.Location{Usual: places})
}

// problem is a config.Problem in JSON.
type problem struct {
	Severity config.Severity `json:"severity"`
	Path     string          `json:"path,omitempty"`
	Line     int             `json:"line,omitempty"`
	Column   int             `json:"column,omitempty"`
	Text     string          `json:"text"`
	// UnknownKey: the format does not have it, of which the broker only warns.
	UnknownKey bool `json:"unknownKey,omitempty"`
}

// configReport is what check-config prints.
type configReport struct {
	File string `json:"file"`
	// User is the one that the file was read as.
	User     string    `json:"user"`
	Valid    bool      `json:"valid"`
	Summary  string    `json:"summary,omitempty"`
	Problems []problem `json:"problems"`
	// Advice says what the file means that its author may not have meant.
	Advice []string `json:"advice"`
}

func newCheckConfig(c *console) *cobra.Command {
	var as brokerUser
	var strict bool
	cmd := &cobra.Command{
		Use:   "check-config [FILE]",
		Short: "Say everything that is wrong with a jwt.json",
		Long: `check-config reads a jwt.json as the plugin does and says everything that is wrong with it, with line, column and JSON path.
Secret files and key files that it names are read too; no connection is made (see probe for that).

The broker reads the file as the user that it runs as. As root, check-config therefore does the same: --as names that user,
"mosquitto" where there is one. Nothing of root's environment goes with it but what --env names.
With "-" the file comes on standard input, as if it stood in the working folder.
A key that the format does not have is an error here, and only a warning in the broker's log.`,
		Example: `  go-jwt-auth check-config /etc/mosquitto/jwt.json
  ./make-config | go-jwt-auth check-config -
  go-jwt-auth check-config --json jwt.json | jq .problems`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 && args[0] == "-" {
				return c.checkInput(cmd, &as, strict)
			}
			file, err := locate(slices.Concat(args, []string{""})[0])
			if err != nil {
				return err
			}
			u, err := as.find(cmd, file)
			switch {
			case err != nil:
				return err
			case u != nil:
				return c.become(cmd, u, as.env, nil, file)
			}
			cfg, problems := config.Load(file)
			return c.reportConfig(file, cfg, problems, strict)
		},
	}
	as.flags(cmd)
	cmd.Flags().BoolVar(&strict, "strict", false, "warnings are errors")
	return cmd
}

// maxConfig is more than the plugin reads of a jwt.json, in bytes.
const maxConfig = 1<<20 + 1

// checkInput checks a file that comes on standard input.
func (c *console) checkInput(cmd *cobra.Command, as *brokerUser, strict bool) error {
	folder, err := os.Getwd()
	if err != nil {
		return err
	}
	text, err := io.ReadAll(io.LimitReader(c.in, maxConfig))
	if err != nil {
		return fmt.Errorf("standard input: %w", err)
	}
	u, err := as.find(cmd, folder)
	switch {
	case err != nil:
		return err
	case u != nil:
		return c.become(cmd, u, as.env, bytes.NewReader(text), "-")
	}
	cfg, problems := config.Parse(text, filepath.Join(folder, "jwt.json"))
	return c.reportConfig("standard input", cfg, problems, strict)
}

func (c *console) reportConfig(file string, cfg *config.Config, problems config.Problems, strict bool) error {
	report, problems := newConfigReport(file, cfg, problems, strict)
	for i, line := range problems.Lines(file) {
		paint := c.doubtful
		if problems[i].Severity == config.SeverityError {
			paint = c.bad
		}
		c.printf("%s\n", paint.of("%s", line))
	}
	for _, text := range report.Advice {
		c.printf("%s\n", c.doubtful.of("note: %s", text))
	}
	c.tellOfEnvironment(problems)
	if report.Valid {
		c.printf("%s %s is good, read as user %s: %s\n", c.mark(true), file, report.User, report.Summary)
	} else {
		c.printf("%s %s can't be used as it is: %s\n", c.mark(false), file, count(len(problems.Errors()), "error"))
	}
	if err := c.object(report); err != nil {
		return err
	}
	if !report.Valid {
		return errNo
	}
	return nil
}

// newConfigReport judges what was read of a file. The problems that it returns are all there are.
func newConfigReport(file string, cfg *config.Config, problems config.Problems, strict bool) (configReport, config.Problems) {
	for i, p := range problems {
		if p.UnknownKey || strict {
			problems[i].Severity = config.SeverityError
		}
	}
	report := configReport{File: file, User: userName(), Problems: []problem{}, Advice: []string{}}
	if cfg != nil {
		if err := build(cfg); err != nil {
			problems = append(problems, config.Problem{Severity: config.SeverityError, Text: err.Error()})
		}
		report.Summary, report.Advice = plugin.Describe(cfg), advise(cfg)
	}
	for _, p := range problems {
		report.Problems = append(report.Problems, problem{p.Severity, p.Path, p.Line, p.Column, p.Text, p.UnknownKey})
	}
	report.Valid = len(problems.Errors()) == 0
	return report, problems
}

// build makes the chain, which reads certificate and key files, and reads a key set that is in a file.
func build(cfg *config.Config) error {
	built, err := newChain(cfg, time.Now)
	if err != nil {
		return err
	}
	defer built.Close()
	var all []error
	for _, p := range built.Providers() {
		all = append(all, p.ReadFiles())
	}
	return errors.Join(all...)
}

// newChain is the chain of the plugin, for a reader at a terminal: it tells nothing beside.
func newChain(cfg *config.Config, now func() time.Time) (*chain.Chain, error) {
	return chain.New(cfg, nil, provider.Options{Now: now, Report: func(event.Note) {}})
}

// advise is plugin.Advise for both kinds of Mosquitto, naming the one where it is about that alone.
func advise(cfg *config.Config) []string {
	older, newer := plugin.Advise(cfg, plugin.Abilities{}), plugin.Advise(cfg, plugin.Abilities{Delays: true, SetsClientID: true})
	all := []string{}
	for _, text := range older {
		if !slices.Contains(newer, text) {
			text = "on Mosquitto 2.0: " + text
		}
		all = append(all, text)
	}
	for _, text := range newer {
		if !slices.Contains(older, text) {
			all = append(all, "on Mosquitto 2.1: "+text)
		}
	}
	return all
}

// load is for the commands that need a good file: what is wrong with another is said on standard error.
func (c *console) load(named string) (*config.Config, error) {
	file, err := locate(named)
	if err != nil {
		return nil, err
	}
	cfg, problems := config.Load(file)
	if cfg != nil {
		return cfg, nil
	}
	for _, line := range problems.Errors().Lines(file) {
		c.tell("%s\n", line)
	}
	c.tellOfEnvironment(problems)
	return nil, errUntold
}

// tellOfEnvironment explains why a variable may be missing here that the broker has.
func (c *console) tellOfEnvironment(problems config.Problems) {
	missing := func(p config.Problem) bool { return strings.Contains(p.Text, "environment variable of the broker") }
	if os.Getenv(dropped) != "" && slices.ContainsFunc(problems, missing) {
		c.tell("note: nothing of root's environment is handed on but what --env names\n")
	}
}

func userName() string {
	if u, err := user.Current(); err == nil {
		return u.Username
	}
	return strconv.Itoa(os.Geteuid())
}

// count is "1 error", "2 errors".
func count(n int, noun string) string {
	if n != 1 {
		noun += "s"
	}
	return fmt.Sprintf("%d %s", n, noun)
}
