// Package identity decides under which username and client id a token's bearer is known to the broker.
//
// Access lists and dynamic-security use the names that this package returns, so it refuses what is unsafe in a topic pattern.
package identity

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"go-jwt-auth/plugin/broker"
	"go-jwt-auth/plugin/config"
	"go-jwt-auth/plugin/token"
	"go-jwt-auth/plugin/verdict"
)

// maxBytes is the longest UTF-8 string that MQTT can carry (MQTT 5 §1.5.4).
const maxBytes = 65535

// Identity is what the broker is to change; nil leaves the client's own. A name may be a part of the text of all claims: what keeps it
// for long clones it.
type Identity struct {
	Username, ClientID *string
}

// Mapper maps claims to identities by the rules of one provider.
type Mapper struct {
	common         config.Common
	path           config.Path
	keepsClientIDs bool
	fixed          bool
}

// New returns a Mapper for the rules of cfg. keepsClientIDs: the broker can't change a client id (Mosquitto 2.0), so that a mismatch
// is refused.
func New(cfg *config.Provider, keepsClientIDs bool) Mapper {
	return Mapper{common: cfg.Common, path: cfg.Path, keepsClientIDs: keepsClientIDs}
}

// Fixed is the Mapper for a client that has its names already: claims that give it others are refused.
func (m Mapper) Fixed() Mapper {
	m.fixed = true
	return m
}

// mayChange tells whether a client may get another name than it has sent; if not, why.
func (m Mapper) mayChange() (may bool, why string) {
	switch {
	case m.fixed:
		return false, "a connected client keeps its name"
	case m.common.OnMismatch == config.MismatchDeny:
		return false, m.path.Key("options.common.onSubjectMismatch") + " is \"deny\""
	}
	return true, ""
}

// Map returns the identity that claims give a client. No message shows the secret, which is what it sent as its token. The verdict
// is Accept or Deny.
func (m Mapper) Map(claims token.Claims, client broker.Connect, secret string, trace *verdict.Trace) (Identity, verdict.Verdict) {
	var mapped Identity
	if m.common.MatchUsername {
		name, refused := m.read(claims, m.common.UsernameTemplate, m.common.UsernameClaim, trace)
		if refused != nil {
			return Identity{}, *refused
		}
		if client.Username == nil || *client.Username != name {
			if may, why := m.mayChange(); !may {
				if client.NameIsToken && client.Username != nil {
					secret = *client.Username
				}
				return Identity{}, mismatch("username", name, client.Username, secret, why, trace)
			}
			taken := name
			mapped.Username = &taken
		}
		if trace != nil {
			trace.Pass("username", "from "+source(m.common.UsernameTemplate, m.common.UsernameClaim), verdict.Quote(name))
		}
	}
	if m.common.MatchClientID {
		id, refused := m.read(claims, m.common.ClientIDTemplate, m.common.ClientIDClaim, trace)
		if refused != nil {
			return Identity{}, *refused
		}
		if client.ClientID != id {
			if client.IDIsToken {
				secret = client.ClientID
			}
			switch may, why := m.mayChange(); {
			case !may:
				return Identity{}, mismatch("client id", id, &client.ClientID, secret, why, trace)
			case m.keepsClientIDs:
				return Identity{}, mismatch("client id", id, &client.ClientID, secret, "this Mosquitto can't change a client id, 2.1 can", trace)
			}
			taken := id
			mapped.ClientID = &taken
		}
		if trace != nil {
			trace.Pass("client id", "from "+source(m.common.ClientIDTemplate, m.common.ClientIDClaim), verdict.Quote(id))
		}
	}
	return mapped, verdict.Verdict{Kind: verdict.Accept}
}

func mismatch(what, expected string, found *string, token, why string, trace *verdict.Trace) verdict.Verdict {
	shown := "none"
	if found != nil {
		shown = verdict.QuoteUnless(token, *found)
	}
	return trace.FailWith(verdict.Refuse(verdict.IdentityMismatch, "the %s must be %s, found %s (%s)", what, verdict.Quote(expected), shown, why),
		what, verdict.Quote(expected), shown)
}

// Name is the name that claims give, from the template if there is one and otherwise from one claim, whether or not it is fit
// to be one; a claim that is missing or not a string counts as empty.
func Name(template *config.Template, claim string, claims token.Claims) string {
	if template == nil {
		return claims.Text(claim)
	}
	return template.Render(claims.Text)
}

// source is where a name comes from, for the trace.
func source(template *config.Template, claim string) string {
	if template == nil {
		return verdict.Word(claim)
	}
	return verdict.Quote(template.String())
}

// read takes the identity out of a claim, or several, and refuses what would be dangerous as one.
func (m Mapper) read(claims token.Claims, template *config.Template, claim string, trace *verdict.Trace) (string, *verdict.Verdict) {
	paths := []string{claim}
	if template != nil {
		paths = template.Claims()
	}
	for _, path := range paths {
		if refused := m.checkClaim(claims, path, trace); refused != nil {
			return "", refused
		}
	}
	name := Name(template, claim, claims)
	if fault := m.faultOfName(name); fault != "" {
		from := source(template, claim)
		refused := trace.FailWith(verdict.Refuse(verdict.UnsafeIdentity, "%s is %s, which %s", from, verdict.Quote(name), fault),
			from, "fit for topic patterns", verdict.Quote(name))
		return "", &refused
	}
	return name, nil
}

// checkClaim refuses a claim that is missing or not fit to be a name or a part of one.
func (m Mapper) checkClaim(claims token.Claims, path string, trace *verdict.Trace) *verdict.Verdict {
	text := claims.Text(path)
	if text == "" {
		if refused := checkString(claims, path, trace); refused != nil {
			return refused
		}
	}
	if fault := m.faultOfValue(text); fault != "" {
		refused := trace.FailWith(verdict.Refuse(verdict.UnsafeIdentity, "%s is %s, which %s", verdict.Word(path), verdict.Quote(text), fault),
			verdict.Word(path), "fit for topic patterns", verdict.Quote(text))
		return &refused
	}
	return nil
}

// checkString refuses a claim that is missing or not a string.
func checkString(claims token.Claims, path string, trace *verdict.Trace) *verdict.Verdict {
	value, found := claims.Lookup(path)
	if _, isString := value.(string); isString {
		return nil
	}
	shown := "none"
	if found {
		shown = kindOf(value)
	}
	refused := trace.Fail(verdict.NoIdentity, verdict.Word(path), "a string", shown)
	return &refused
}

// kindOf names the JSON type of a claim that is not a string.
func kindOf(value any) string {
	switch v := value.(type) {
	case json.Number:
		return fmt.Sprintf("the number %.64s (a provider has to write a name as text, in quotes; or map another claim)", v)
	case bool:
		return fmt.Sprint(v)
	case nil:
		return "null"
	case []any:
		return "an array"
	default:
		return "an object"
	}
}

// faultOfName says what makes a whole name unusable. A reserved one would give its bearer the rights of another account.
func (m Mapper) faultOfName(name string) string {
	switch {
	case len(name) > maxBytes:
		return fmt.Sprintf("has more than %d bytes", maxBytes)
	case slices.Contains(m.common.ReservedNames, name):
		return "is kept for others (" + m.path.Key("options.common.reservedNames") + ")"
	}
	return ""
}

// faultOfValue says what makes a claim unusable as a name or a part of one. With a wildcard in it, %u and %c in an access list
// would match other clients' topics (CVE-2017-7650); with a '$' in front, at the beginning of a pattern, the broker's own (MQTT 5
// §4.7.2); with a '/', other levels. White space, invisible letters and U+FEFF are a name's own (§1.5.4): the broker keeps them
// apart.
func (m Mapper) faultOfValue(value string) string {
	switch {
	case value == "":
		return "is empty"
	case len(value) > maxBytes:
		return fmt.Sprintf("has more than %d bytes", maxBytes)
	// The JSON decoder replaces invalid text, so two subjects would become one.
	case !utf8.ValidString(value) || strings.ContainsRune(value, utf8.RuneError):
		return "is no valid UTF-8"
	case strings.ContainsAny(value, "+#"):
		return "holds a topic wildcard"
	case value[0] == '$':
		return "begins with '$', as the broker's own topics do"
	case strings.ContainsFunc(value, unfit):
		return "holds a control character"
	case !m.common.AllowSlash && strings.Contains(value, "/"):
		return "holds '/' (" + m.path.Key("options.common.allowSlashInIdentity") + " admits it)"
	}
	return ""
}

// unfit characters are the control characters and the non-characters, which MQTT lets a broker refuse (MQTT 5 §1.5.4).
func unfit(r rune) bool {
	return unicode.IsControl(r) || (r >= 0xFDD0 && r <= 0xFDEF) || r&0xFFFE == 0xFFFE
}
