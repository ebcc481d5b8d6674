package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/user"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"go-jwt-auth/plugin/config"
	"go-jwt-auth/plugin/config/fileaccess"
)

// addition is what init --add is told, and the file that it adds to.
type addition struct {
	add, templates bool
	existingName   string
	// existing is the text of the file, behind its byte order mark, if it has one, and access whose it is.
	existing, mark string
	access         access
}

// misused is the error for a flag that means nothing without --add.
func (a *addition) misused(cmd *cobra.Command) error {
	for _, flag := range []string{"name", "existing-name", "templates"} {
		if cmd.Flags().Changed(flag) && !a.add {
			return fmt.Errorf("--%s: is for --add alone", flag)
		}
	}
	return nil
}

// newRead is a helper of init --add: as the broker's user, it prints a file for root, who must not open what the broker could
// have put there.
func newRead(c *console) *cobra.Command {
	return &cobra.Command{
		Use:    "read FILE",
		Short:  "Print a jwt.json",
		Hidden: true,
		Args:   cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			text, _, err := fileaccess.Read(args[0])
			if err != nil {
				return err
			}
			_, err = c.out.Write(text)
			return err
		},
	}
}

// readAs reads a file that is no link, as the broker's user.
func readAs(ctx context.Context, broker *user.User, name string) (text []byte, who access, err error) {
	info, err := os.Lstat(name)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil, who, fmt.Errorf("there is no %s to add to: without --add it is written", name)
	case err != nil:
		return nil, who, err
	case !info.Mode().IsRegular():
		return nil, who, fmt.Errorf("%s is a link, or no file at all: --output must name the file itself, since another takes its place", name)
	}
	who = accessOf(info)
	if broker == nil {
		text, _, err = fileaccess.Read(name)
		return text, who, err
	}
	var out, errs bytes.Buffer
	code, err := runAs(ctx, broker, nil, nil, &out, &errs, "read", "--", name)
	if err == nil && code != exitGood {
		err = errors.New(strings.TrimPrefix(strings.TrimSpace(errs.String()), "go-jwt-auth: "))
	}
	return out.Bytes(), who, err
}

// readExisting reads the file to add to, which must be good as it is.
func (c *console) readExisting(ctx context.Context, i *initial, broker *user.User) error {
	text, who, err := readAs(ctx, broker, i.output)
	if err != nil {
		return err
	}
	if _, err := c.judge(ctx, i, broker, nil, i.output); err != nil {
		return err
	}
	i.access = who
	const mark = "\ufeff"
	var marked bool
	if i.existing, marked = strings.CutPrefix(string(text), mark); marked {
		i.mark = mark
	}
	if !json.Valid([]byte(i.existing)) || len(i.providers()) == 0 {
		return fmt.Errorf("%s is another than that which was found good: somebody else is changing it", i.output)
	}
	if i.existingName != "" && i.named() {
		return errors.New("--existing-name: the providers of the file have names already")
	}
	return nil
}

// unchanged fails if somebody else has written the file since it was read.
func (c *console) unchanged(ctx context.Context, i *initial, broker *user.User) error {
	text, _, err := readAs(ctx, broker, i.output)
	if err == nil && string(text) != i.mark+i.existing {
		err = errors.New("it is another now")
	}
	if err != nil {
		return fmt.Errorf("%s was changed meanwhile, and stays as it is: %w", i.output, err)
	}
	return nil
}

// named tells whether the file's providers have names.
func (a *addition) named() bool { return at(a.existing, "providers") != "" }

// providers are the texts of the file's.
func (a *addition) providers() (all []string) {
	if !a.named() {
		if !isObject(strings.TrimSpace(a.existing)) {
			return nil
		}
		return []string{a.existing}
	}
	list := at(a.existing, "providers")
	for _, p := range partsOf(list) {
		all = append(all, list[p.value:p.to])
	}
	return all
}

// names are those that the file will have.
func (i *initial) names() (all []string) {
	for _, p := range i.providers() {
		all = append(all, textAt(p, "name"))
	}
	if !i.named() {
		all = []string{i.existingName}
	}
	return append(all, i.Name)
}

// renamed are the names of those providers of the file whose clients get other usernames.
func (i *initial) renamed() (all []string) {
	if !i.add || !i.templates {
		return nil
	}
	for n, p := range i.providers() {
		if mapsClaim(p) {
			all = append(all, i.names()[n])
		}
	}
	return all
}

// isNew is the error for an issuer that a provider of the file has, to the letter.
func (a *addition) isNew(issuer string) error {
	for _, p := range a.providers() {
		issuers := []string{textAt(p, "options", "modes", "oidc", "issuer"), textAt(p, "options", "common", "issuer")}
		var several []string
		_ = json.Unmarshal([]byte(at(p, "options", "common", "issuer")), &several) // it may be one
		if slices.Contains(append(issuers, several...), issuer) {
			return refusal{fmt.Errorf("the file has a provider of issuer %s already", issuer)}
		}
	}
	return nil
}

// askNames asks what the providers are to be called, and how their clients.
func (i *initial) askNames(asks *questions) error {
	free := func(name string) error {
		if taken := i.names(); slices.Contains(taken[:len(taken)-1], name) {
			return refusal{fmt.Errorf("the file has a provider of name %s already", name)}
		}
		_, err := i.parse()
		return err
	}
	if !i.named() {
		err := asks.until(&i.existingName, question{
			flag: "existing-name", needed: true,
			why:   "The file has one provider without a name. Among several each needs one, for the log and for usernames, such as \"employees\".",
			short: "Name of the provider that is there",
		}, func(name string) error {
			other := *i
			other.Name = name
			_, err := other.parse()
			return err
		})
		if err != nil {
			return err
		}
	}
	err := asks.until(&i.Name, question{
		flag: "name", needed: true,
		why:   "The name tells the new provider from the others, such as \"devices\".",
		short: "Name of the new provider",
	}, free)
	if err != nil {
		return err
	}
	return i.askTemplates(asks)
}

// askTemplates asks whether usernames are to begin with the provider's name.
func (i *initial) askTemplates(asks *questions) error {
	mapped := slices.ContainsFunc(i.providers(), mapsClaim)
	if !mapped {
		// A change to nobody: the new one does as the others do.
		i.templates = i.templates || slices.ContainsFunc(i.providers(), mapsTemplate)
	} else if asks.asks("templates") {
		answer := "no"
		err := asks.until(&answer, question{
			flag: "templates",
			why: "Two providers can give two clients one username, and with it each other's rights: usernameTemplate \"{provider}:{sub}\" keeps them apart, " +
				"but it renames the clients of each provider that is there, for whom access lists and roles must be changed as well.",
			short: "Begin usernames with the provider's name (yes or no)",
		}, yesOrNo)
		if err != nil {
			return err
		}
		i.templates = answer == "yes"
	}
	i.Template = i.templates
	return nil
}

func yesOrNo(answer string) error {
	if answer != "yes" && answer != "no" {
		return fmt.Errorf("must be yes or no, found %q", answer)
	}
	return nil
}

// mapsClaim tells whether the usernames of a provider of the file are a claim alone.
func mapsClaim(provider string) bool {
	return !mapsTemplate(provider) && at(provider, "options", "common", "matchUsernameToSubject") == "true"
}

func mapsTemplate(provider string) bool {
	return at(provider, "options", "common", "usernameTemplate") != ""
}

// withTemplate gives a provider the template in the place of the claim.
func withTemplate(provider string) string {
	return change(provider, func(common string) string {
		claim, found := find(common, "usernameClaim")
		if !found {
			return add(common, `"usernameTemplate": `+quoted(templateOf("sub")))
		}
		template := templateOf(textAt(common, "usernameClaim"))
		return common[:claim.from] + `"usernameTemplate": ` + quoted(template) + common[claim.to:]
	}, "options", "common")
}

// joined is the file with the new provider in it.
func (i *initial) joined() []byte {
	unit := unitOf(i.existing)
	text := i.existing
	if !i.named() {
		text = withName(text, i.existingName, unit)
	}
	text = change(text, func(list string) string {
		if i.templates {
			for _, p := range slices.Backward(partsOf(list)) {
				if mapsClaim(list[p.value:p.to]) {
					list = list[:p.value] + withTemplate(list[p.value:p.to]) + list[p.to:]
				}
			}
		}
		return add(list, i.element(list, unit))
	}, "providers")
	return []byte(i.mark + text)
}

// element is the new provider as it stands behind the others: in lines, if they do.
func (i *initial) element(list, unit string) string {
	if !strings.Contains(list, "\n") {
		text, err := json.Marshal(i.provider())
		if err != nil {
			panic(err) // strings and booleans can be written
		}
		return string(text)
	}
	all := partsOf(list)
	last := all[len(all)-1]
	margin, alone := marginOf(list, last.from)
	if !alone {
		margin, _ = marginOf(list, last.to)
	}
	return string(written(i.provider(), margin, unit))
}

// marginOf is the white space that the line of this place begins with; alone: nothing else stands before the place.
func marginOf(text string, place int) (margin string, alone bool) {
	line := text[strings.LastIndexByte(text[:place], '\n')+1 : place]
	margin = line[:len(line)-len(strings.TrimLeft(line, " \t"))]
	return margin, margin == line
}

// withName makes of a file without names one of the same provider under a name.
func withName(text, name, unit string) string {
	text, broker := divide(text, config.BrokerKeys()...)
	in := "\n" + unit
	provider, top, place := []string{`"name": ` + quoted(name)}, []string{}, -1
	for _, p := range partsOf(text) {
		if !slices.Contains([]string{"algorithm", "mode", "options"}, p.name) {
			top = append(top, text[p.from:p.to])
			continue
		}
		if place < 0 {
			place = len(top)
		}
		provider = append(provider, indented(text[p.from:p.to], unit+unit))
	}
	inner := in + unit + unit
	list := []string{`"providers": [` + in + unit + "{" + inner + strings.Join(provider, ","+inner) + in + unit + "}" + in + "]"}
	if broker != "" {
		list = slices.Insert(list, 0, broker[1:len(broker)-1])
	}
	top = slices.Insert(top, place, list...)
	begin, end := strings.Index(text, "{"), strings.LastIndex(text, "}")
	return text[:begin] + "{" + in + strings.Join(top, ","+in) + "\n" + text[end:]
}
