package main

import (
	"encoding/json"
	"fmt"
	"strings"
)

// file is a jwt.json that is to be written.
type file struct {
	// Name is that of the one provider where there may be several; empty: a file without names.
	Name          string
	Algorithm     []string
	Issuer        string
	Audience      string
	UsernameClaim string
	// Template: the username is made of the provider's name and the claim.
	Template      bool
	Introspection *introspection
	CAFile        string
	// Opaque tokens are known to the provider alone.
	Opaque bool
}

// introspection is the endpoint and this broker's credentials there; the secret itself, or the file that holds it.
type introspection struct {
	URI, ClientID, Secret, SecretFile string
}

// members is a JSON object whose members keep their order.
type members []member

type member struct {
	name  string
	value any
}

// MarshalJSON writes the members in their order.
func (m members) MarshalJSON() ([]byte, error) {
	var b strings.Builder
	for i, each := range m {
		value, err := json.Marshal(each.value)
		if err != nil {
			return nil, err
		}
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, "%q:%s", each.name, value)
	}
	return []byte("{" + b.String() + "}"), nil
}

// json is the file as it is written.
func (f file) json() json.RawMessage {
	if f.Name == "" {
		return written(f.provider(), "", "    ")
	}
	return written(members{{"providers", []members{f.provider()}}}, "", "    ")
}

// provider is the file as one element of "providers", or without a name as a whole.
func (f file) provider() members {
	var algorithm any = f.Algorithm
	if len(f.Algorithm) == 1 {
		algorithm = f.Algorithm[0]
	}
	mode, modes := "oidc", members{
		{"oidc", members{{"issuer", f.Issuer}}},
		{"jwks", members{{"cache", members{{"enabled", true}}}}},
	}
	common := members{}
	if f.Opaque {
		mode, modes = "introspection", nil
		common = append(common, member{"issuer", f.Issuer})
	}
	if f.Audience != "" {
		common = append(common, member{"audience", f.Audience})
	}
	common = append(common, member{"matchUsernameToSubject", true})
	switch {
	case f.Template:
		common = append(common, member{"usernameTemplate", templateOf(f.UsernameClaim)})
	case f.UsernameClaim != "sub":
		common = append(common, member{"usernameClaim", f.UsernameClaim})
	}
	options := members{}
	if modes != nil {
		options = append(options, member{"modes", modes})
	}
	options = append(options, member{"common", common})
	if i := f.Introspection; i != nil {
		options = append(options, member{"revocation", members{{"introspection", i.members()}}})
	}
	if f.CAFile != "" {
		options = append(options, member{"tls", members{{"caFile", f.CAFile}}})
	}
	all := members{{"mode", mode}, {"options", options}}
	if !f.Opaque {
		all = append(members{{"algorithm", algorithm}}, all...)
	}
	if f.Name != "" {
		all = append(members{{"name", f.Name}}, all...)
	}
	return all
}

// written is a JSON text of several lines, of which those behind the first begin with margin.
func written(all members, margin, unit string) json.RawMessage {
	text, err := json.MarshalIndent(all, margin, unit)
	if err != nil {
		panic(err) // strings and booleans can be written
	}
	return text
}

// templateOf is the usernameTemplate that begins with the provider's name, which no other provider's begins with.
func templateOf(claim string) string {
	if claim == "sub" {
		return "{provider}:{sub}"
	}
	return "{provider}:{claim:" + claim + "}"
}

func (i introspection) members() members {
	m := members{}
	if i.URI != "" {
		m = append(m, member{"uri", i.URI})
	}
	m = append(m, member{"clientId", i.ClientID})
	if i.SecretFile != "" {
		return append(m, member{"clientSecret", members{{"filePath", i.SecretFile}}})
	}
	return append(m, member{"clientSecret", i.Secret})
}
