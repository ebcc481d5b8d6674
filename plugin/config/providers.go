package config

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"go-jwt-auth/plugin/verdict"
)

// severalProviders reads a file that holds `providers`. At its top stands what is for the whole broker, and nothing else.
func (d *document) severalProviders() *Config {
	file := defaults()
	broker := brokerKeys(file)
	top := slices.Concat(fileKeys(), broker, ofProvider(broker))
	s := d.scope(d.Root, top, nil)
	n := s.nodes["providers"]
	list, _ := n.Value.(array)
	if len(list) == 0 {
		s.errorf(n, "must be an array of objects, one for each identity provider, found %s", found(n))
		return file
	}
	var all []*scope
	for i, n := range list {
		p := providerDefaults(fmt.Sprintf("$.providers[%d]", i))
		format := slices.Concat([]key{{"name", providerName(&p.Name)}}, providerKeys(p), ofBroker())
		if one := d.scope(n, format, unused(n)); one != nil {
			file.Providers, all = append(file.Providers, p), append(all, one)
		}
	}
	for i, one := range all {
		one.check(file, file.Providers[i])
		one.checkName()
		if len(list) > 1 {
			one.checkUsername(file, file.Providers[i])
		}
	}
	checkApart(file.Providers, all)
	s.checkAdmins(file)
	return file
}

// found tells an array of none from other values.
func found(n *node) string {
	if _, isArray := n.Value.(array); isArray {
		return "an empty one"
	}
	return n.Found()
}

// ofProvider are the keys and sections that no provider shares with the broker, for the top of a file with `providers`: an
// error says where they belong.
func ofProvider(broker []key) []key {
	shared := func(path string) bool {
		return slices.ContainsFunc(broker, func(k key) bool { return k.path == path || strings.HasPrefix(k.path, path+".") })
	}
	paths := []string{"name"}
	for _, k := range providerKeys(providerDefaults("$")) {
		path := k.path
		for parent(path) != "" && !shared(parent(path)) {
			path = parent(path)
		}
		if !slices.Contains(paths, path) {
			paths = append(paths, path)
		}
	}
	return each(paths, func(d *document, n *node) {
		d.errorf(n, `must not stand beside "providers", but in each of them, as in %s: what holds for one provider alone belongs there`,
			"$.providers[0]."+strings.TrimPrefix(n.Path, "$."))
	})
}

// BrokerKeys are the paths of the keys that hold for all providers of a file, such as "options.common.tokenSource": with
// `providers` they stand once, beside that.
func BrokerKeys() []string {
	broker := brokerKeys(defaults())
	paths := make([]string, len(broker))
	for i, k := range broker {
		paths[i] = k.path
	}
	return paths
}

// ofBroker are the keys of the broker, for a provider: an error says where they belong.
func ofBroker() []key {
	return each(BrokerKeys(), func(d *document, n *node) {
		_, path, _ := strings.Cut(n.Path, "].")
		d.errorf(n, `must not stand in a provider, but once beside "providers", as %s: it holds for all of them`, "$."+path)
	})
}

var nameOfProvider = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,31}$`)

func providerName(to *string) reader {
	return func(d *document, n *node) {
		name, ok := word(d, n)
		switch {
		case !ok:
		case !nameOfProvider.MatchString(name):
			d.errorf(n, `must be up to 32 of a-z, 0-9, "-" and "_", the first a letter or digit, found %s`, n.Found())
		default:
			*to = name
		}
	}
}

func (s *scope) checkName() {
	if !s.has("name") {
		s.missing("name", "must be there: the name of this provider in the log and in usernames, such as \"employees\"")
	}
}

// checkUsername has a provider say itself that its clients may take any name, those of the other providers' clients included.
func (s *scope) checkUsername(file *Config, c *Provider) {
	const match = "options.common.matchUsernameToSubject"
	if !c.Common.MatchUsername && !s.has(match) && !slices.Contains(file.TokenSource, TokenInUsername) {
		s.missing(match, `must be there with several providers: true, or usernameTemplate in its place (such as "{provider}:{sub}"), or false if this provider's clients may use any username, those of the others included`)
	}
}

// checkApart holds that a token is the affair of one provider, whatever it says.
func checkApart(providers []*Provider, scopes []*scope) {
	names, issuers := map[string]*Provider{}, map[string]*Provider{}
	var rest, opaque *Provider
	for i, p := range providers {
		s := scopes[i]
		if before := names[p.Name]; before != nil && p.Name != "" {
			s.errorf(s.nodes["name"], "must be another for each provider, found %s in %s, too", verdict.Quote(p.Name), before.Path)
		}
		names[p.Name] = p
		for _, issuer := range p.Common.Issuers {
			for _, iss := range issuer.Expand() {
				if before := issuers[iss]; before != nil && before != p {
					s.errorf(s.issuerNode(issuer), "must be of one provider alone, found %s in %s, too", verdict.Quote(iss), before.called())
				}
				issuers[iss] = p
			}
		}
		if p.Mode == ModeIntrospection {
			if opaque != nil {
				s.errorf(s.nodes["mode"], `must not be "introspection" in two providers, found it in %s, too: what is not a JWT could be for either`, opaque.called())
			}
			opaque = p
		} else if len(p.Common.Issuers) == 0 && !s.has("options.common.issuer") && !s.has("options.modes.oidc.issuer") {
			if rest != nil {
				s.missing("options.common.issuer", "must be there, since "+rest.called()+" has none either: one provider at the most answers for tokens of all other issuers")
			}
			rest = p
		}
	}
}

// called is a provider as messages name it.
func (p *Provider) called() string { return fmt.Sprintf("%s (%s)", p.Path, verdict.Quote(p.Name)) }
