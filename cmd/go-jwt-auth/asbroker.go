package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"go-jwt-auth/plugin/verdict"
)

// defaultBroker is the user that Mosquitto's packages and images run the broker as.
const defaultBroker = "mosquitto"

// brokerUser is whose rights a command takes that reads what jwt.json names. The file belongs to the broker's user, or is
// writable for it on many machines: root must not read a file, or hand on an environment variable, because it says so.
type brokerUser struct {
	name string
	// env names the variables of our own environment that the file may use.
	env []string
	// given: the name stood in the command line.
	given bool
}

// flags adds --as and --env.
func (b *brokerUser) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&b.name, "as", defaultBroker, "where this is root, read as this user (a name or number); empty: as root")
	cmd.Flags().StringArrayVar(&b.env, "env", nil, "where this is root, hand on this environment variable; may be repeated")
}

// find returns the user to become, or nil to stay who we are. Where there is no user mosquitto, root stays root if file, and
// every folder on the way to it, is root's alone.
func (b *brokerUser) find(cmd *cobra.Command, file string) (*user.User, error) {
	b.given = cmd.Flags().Changed("as")
	if b.name == "" || os.Geteuid() != 0 {
		return nil, nil //nolint:nilnil // nobody to become
	}
	u, err := user.Lookup(b.name)
	if err != nil {
		u, err = user.LookupId(b.name)
	}
	switch {
	case err == nil && u.Uid == "0":
		return nil, nil //nolint:nilnil // nobody to become
	case err == nil:
		return u, nil
	case !b.given && (file == "" || rootsAlone(file)):
		return nil, nil //nolint:nilnil // nobody to become
	default:
		return nil, fmt.Errorf("there is no user %s to read the file as: --as names the one that the broker runs as (--as= reads it as root, and what it names)", b.name)
	}
}

// findFor is find for the jwt.json that --config names; empty: the first in the usual places.
func (b *brokerUser) findFor(cmd *cobra.Command, named string) (*user.User, error) {
	file, err := locate(named)
	if err != nil {
		return nil, err
	}
	return b.find(cmd, file)
}

// rootsAlone tells whether nobody but root can change what stands under this name. What is not there is.
func rootsAlone(name string) bool {
	name, err := filepath.Abs(name)
	if err != nil {
		return false
	}
	switch target, err := filepath.EvalSymlinks(name); {
	case errors.Is(err, fs.ErrNotExist):
		return true
	case err != nil:
		return false
	default:
		name = target
	}
	for {
		info, err := os.Stat(name)
		if err != nil {
			return false
		}
		stat, ok := info.Sys().(*syscall.Stat_t)
		others := info.Mode()&0o022 != 0 && info.Mode()&fs.ModeSticky == 0
		if !ok || stat.Uid != 0 || others {
			return false
		}
		if name == "/" {
			return true
		}
		name = filepath.Dir(name)
	}
}

// dropped marks the environment of a process that become has started.
const dropped = "GO_JWT_AUTH_AS_BROKER"

// become runs this command again as u: same flags, these arguments, this standard input. Its exit code becomes the error.
func (c *console) become(cmd *cobra.Command, u *user.User, env []string, in io.Reader, args ...string) error {
	line := []string{cmd.Name(), "--as=", "--color=" + c.childColour()}
	cmd.Flags().Visit(func(f *pflag.Flag) {
		if slices.Contains([]string{"as", "env", "color"}, f.Name) {
			return
		}
		values := []string{f.Value.String()}
		if list, repeatable := f.Value.(pflag.SliceValue); repeatable {
			values = list.GetSlice()
		}
		for _, value := range values {
			line = append(line, "--"+f.Name+"="+value)
		}
	})
	out, errs := &childOutput{to: c.out}, &childOutput{to: c.err}
	code, err := runAs(cmd.Context(), u, env, in, out, errs, append(append(line, "--"), args...)...)
	out.flush()
	errs.flush()
	switch {
	case err != nil:
		return err
	case code == exitGood:
		return nil
	case code == exitNo:
		return errNo
	default:
		return errUntold
	}
}

// runAs runs this program as u. The process has nothing of ours that u could take from it: of our environment only what is
// named, neither our terminal nor our open files, and pipes for its input and output.
func runAs(ctx context.Context, u *user.User, env []string, in io.Reader, out, errs io.Writer, args ...string) (code int, err error) {
	id, err := credential(u)
	if err != nil {
		return 0, err
	}
	if err := keepFiles(); err != nil {
		return 0, err
	}
	// By this name u need not be able to reach the folder that the program is in.
	child := exec.CommandContext(ctx, "/proc/self/exe", args...) //nolint:gosec // it is this program
	child.Args[0] = "go-jwt-auth"
	child.Env = []string{dropped + "=1"}
	for _, name := range env {
		if value, set := os.LookupEnv(name); set {
			child.Env = append(child.Env, name+"="+value)
		}
	}
	child.Stdin, child.Stdout, child.Stderr = in, out, errs
	// Without a session of its own it could type on our terminal (TIOCSTI).
	child.SysProcAttr = &syscall.SysProcAttr{Credential: id, Setsid: true}
	err = child.Run()
	var ended *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return 0, ctx.Err()
	case errors.As(err, &ended) && ended.Exited():
		return ended.ExitCode(), nil
	case err != nil:
		return 0, fmt.Errorf("it can't be done as user %s: %w (--as= stays root, who can read more than the broker can)", u.Username, err)
	}
	return exitGood, nil
}

// keepFiles has no process inherit what a shell has left open for us: Go closes its own files alone.
func keepFiles() error {
	open, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return fmt.Errorf("can't see which files are open: %w", err)
	}
	for _, each := range open {
		if fd, err := strconv.Atoi(each.Name()); err == nil && fd > 2 {
			syscall.CloseOnExec(fd)
		}
	}
	return nil
}

// childColour is --color for a process that writes to the same place.
func (c *console) childColour() string {
	if c.coloured {
		return "always"
	}
	return "never"
}

func credential(u *user.User) (*syscall.Credential, error) {
	number := func(s string) uint32 {
		n, _ := strconv.ParseUint(s, 10, 32) // they are numbers on Linux
		return uint32(n)
	}
	groups, err := u.GroupIds()
	if err != nil {
		return nil, err
	}
	id := &syscall.Credential{Uid: number(u.Uid), Gid: number(u.Gid)}
	for _, g := range groups {
		id.Groups = append(id.Groups, number(g))
	}
	return id, nil
}

// childOutput writes what a process of the broker's user prints: its lines, made fit for a terminal once more, since whoever
// has that user may have put words into its mouth.
type childOutput struct {
	to   io.Writer
	rest bytes.Buffer
}

// maxChildLine bounds what is kept of a line without end, in bytes.
const maxChildLine = 1 << 20

// Write implements io.Writer. It keeps the beginning of a line until the rest of it comes.
func (o *childOutput) Write(p []byte) (int, error) {
	for text := p; len(text) > 0; {
		line, rest, whole := bytes.Cut(text, []byte("\n"))
		o.rest.Write(line)
		if whole || o.rest.Len() > maxChildLine {
			if err := o.line(); err != nil {
				return 0, err
			}
		}
		text = rest
	}
	return len(p), nil
}

func (o *childOutput) flush() {
	if o.rest.Len() > 0 {
		_ = o.line() // the console remembers what could not be written
	}
}

// colours are the only sequences of a terminal that this program writes.
var colours = regexp.MustCompile(`\x1b\[(0|1|2|22|31|32|33)(;(0|1|2|22|31|32|33))*m`)

func (o *childOutput) line() error {
	text := o.rest.String()
	o.rest.Reset()
	var safe strings.Builder
	end := 0
	for _, at := range colours.FindAllStringIndex(text, -1) {
		safe.WriteString(verdict.Line(text[end:at[0]]) + text[at[0]:at[1]])
		end = at[1]
	}
	safe.WriteString(verdict.Line(text[end:]) + "\n")
	_, err := io.WriteString(o.to, safe.String())
	return err
}
