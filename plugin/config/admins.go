package config

import (
	"fmt"
	"slices"

	"go-jwt-auth/plugin/verdict"
)

// Admin is one entry of `$.options.control.admins`.
type Admin struct {
	// Username is the MQTT username that the client has.
	Username string
	// ByToken: the client was let in by a token of Provider, which maps usernames. Otherwise it was let in by others: by a password or a
	// certificate.
	ByToken bool
	// Provider is the name of the provider; empty in a file without names.
	Provider string
}

const admins = "options.control.admins"

// maxAdmins bounds those of one file: each message of an admin is held against all of them.
const maxAdmins = 64

// checkAdmins reads who may see and steer. It comes when all providers are known, as an entry may name one.
func (s *scope) checkAdmins(file *Config) {
	n := s.nodes[admins]
	if n == nil {
		return
	}
	list, isArray := n.Value.(array)
	switch {
	case !isArray:
		s.errorf(n, `must be an array such as ["ops"] or [{"username": "ops"}], found %s`, n.Found())
		return
	case len(list) > maxAdmins:
		s.errorf(n, "must hold at most %d entries, found %d", maxAdmins, len(list))
		return
	}
	for _, n := range list {
		admin, ok := s.admin(n, file)
		switch {
		case !ok:
		case slices.Contains(file.Control.Admins, admin):
			s.warnf(n, "is there twice")
		default:
			file.Control.Admins = append(file.Control.Admins, admin)
		}
	}
}

func (s *scope) admin(n *node, file *Config) (a Admin, ok bool) {
	if _, isObject := n.Value.(object); !isObject {
		if _, isString := n.Value.(string); !isString {
			s.errorf(n, `must be a username, or an object such as {"provider": "NAME", "username": "ops"}, found %s`, n.Found())
			return a, false
		}
		a.Username, ok = mqttName(s.document, n)
		return a, ok
	}
	a.ByToken = true
	entry := s.document.scope(n, adminMembers(&a), nil)
	if !entry.has("username") {
		entry.missing("username", "must be there: the username that the provider gives to an admin")
	}
	return a, s.adminProvider(entry, a.Provider, file) && a.Username != ""
}

// adminMembers is the format of an admin who comes with a token.
func adminMembers(a *Admin) []key {
	return []key{
		{"username", func(d *document, n *node) { a.Username, _ = mqttName(d, n) }},
		{"provider", text(&a.Provider)},
	}
}

// mqttName reads a username as MQTT has it.
func mqttName(d *document, n *node) (string, bool) { return authenticationMethod(d, n) }

// adminProvider holds that an admin's provider is in the file, and gives usernames.
func (s *scope) adminProvider(entry *scope, name string, file *Config) bool {
	named := entry.nodes["provider"]
	var names []string
	for _, p := range file.Providers {
		if p.Name != "" {
			names = append(names, p.Name)
		}
	}
	at := slices.IndexFunc(file.Providers, func(p *Provider) bool { return p.Name == name })
	switch {
	case named != nil && name == "":
		return false // said already
	case named != nil && len(names) == 0:
		s.errorf(named, "must not stand in a file whose provider has no name: leave it out")
		return false
	case named == nil && len(file.Providers) > 1:
		entry.missing("provider", "must be there with several providers: the name of the one whose token an admin has")
		return false
	case named == nil && len(file.Providers) == 1:
		at = 0
	case named != nil && at < 0:
		s.errorf(named, "must be the name of a provider of this file, found %s%s", named.Found(), didYouMean(name, names...))
		return false
	}
	if at >= 0 && !file.Providers[at].Common.MatchUsername {
		p := file.Providers[at]
		s.errorf(entry.root, "can't be: %s maps no usernames, so that its clients may claim any: set %s to true",
			p.describedAs(), p.Path.Key("options.common.matchUsernameToSubject"))
		return false
	}
	return true
}

// describedAs is the provider as a message about another place names it.
func (p *Provider) describedAs() string {
	if p.Name == "" {
		return "the provider"
	}
	return fmt.Sprintf("provider %s", verdict.Quote(p.Name))
}
