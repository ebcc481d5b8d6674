package config

import (
	"encoding/json"
	"maps"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"go-jwt-auth/plugin/config/jsondoc"
)

// schema is a part of docs/jwt.schema.json.
type schema struct {
	Ref                  string             `json:"$ref"`
	Type                 any                `json:"type"`
	Title                string             `json:"title"`
	Description          string             `json:"description"`
	Default              json.RawMessage    `json:"default"`
	Minimum              *int64             `json:"minimum"`
	Maximum              *int64             `json:"maximum"`
	Enum                 []json.RawMessage  `json:"enum"`
	Examples             []json.RawMessage  `json:"examples"`
	Properties           map[string]*schema `json:"properties"`
	AdditionalProperties json.RawMessage    `json:"additionalProperties"`
	Items                *schema            `json:"items"`
	AnyOf                []*schema          `json:"anyOf"`
	AllOf                []*schema          `json:"allOf"`
	Then                 *schema            `json:"then"`
	Else                 *schema            `json:"else"`
	Defs                 map[string]*schema `json:"$defs"`
}

// facts are what the schema says of one key.
type facts struct {
	title, description string
	def                string // the default as JSON; empty: none
	min, max           *int64
	boolean            bool
	words              []string // as JSON
	examples           []string // as JSON
}

// readSchema gathers what all parts of the schema say of each key: a key may be described in one place and bound in
// another.
func readSchema(t *testing.T) map[string]*facts {
	t.Helper()
	text, err := os.ReadFile("../../docs/jwt.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	var root schema
	if err := json.Unmarshal(text, &root); err != nil {
		t.Fatal(err)
	}
	keys := map[string]*facts{}
	var walk func(path string, s *schema)
	walk = func(path string, s *schema) {
		if s == nil {
			return
		}
		f := keys[path]
		if f == nil {
			f = &facts{}
			keys[path] = f
		}
		f.add(s)
		if s.Ref != "" {
			name := strings.TrimPrefix(s.Ref, "#/$defs/")
			if root.Defs[name] == nil {
				t.Fatalf("%s: no $defs/%s", path, name)
			}
			if name != "holdsToken" { // which describes values, and itself
				walk(path, root.Defs[name])
			}
		}
		for name, property := range s.Properties {
			walk(jsondoc.Child(path, name), property)
		}
		for _, part := range append(slices.Concat(s.AllOf, s.AnyOf), s.Then, s.Else) {
			walk(path, part)
		}
		if path == "$.providers" || strings.HasSuffix(path, ".authorization.rules") || strings.HasSuffix(path, ".authorization.grants") || path == "$."+admins {
			walk(path+"[…]", s.Items)
		}
	}
	walk("$", &root)
	for _, k := range brokerKeys(defaults()) {
		delete(keys, inProviders+"."+k.path) // brokenProviders
		if section := parent(k.path); !slices.ContainsFunc(providerKeys(providerDefaults("$")), func(p key) bool { return strings.HasPrefix(p.path, section+".") }) {
			delete(keys, inProviders+"."+section)
		}
	}
	return keys
}

// inProviders is the path of each of several providers.
const inProviders = "$.providers[…]"

func (f *facts) add(s *schema) {
	f.title = first(f.title, s.Title)
	f.description = first(f.description, s.Description)
	f.def = first(f.def, string(s.Default))
	f.boolean = f.boolean || s.Type == "boolean"
	if s.Minimum != nil {
		f.min = s.Minimum
	}
	if s.Maximum != nil {
		f.max = s.Maximum
	}
	for _, word := range s.Enum {
		f.words = appendNew(f.words, string(word))
	}
	for _, e := range s.Examples {
		f.examples = appendNew(f.examples, string(e))
	}
}

func appendNew(words []string, word string) []string {
	if slices.Contains(words, word) {
		return words
	}
	return append(words, word)
}

// values are all that the schema mentions, and what lies just outside of the bounds.
func (f *facts) values() []string {
	values := slices.Concat(f.words, f.examples)
	if f.def != "" {
		values = append(values, f.def)
	}
	if f.min != nil && f.max != nil {
		for _, i := range []int64{*f.min - 1, *f.min, *f.max, *f.max + 1} {
			values = append(values, strconv.FormatInt(i, 10))
		}
	}
	return values
}

func first(words ...string) string {
	for _, w := range words {
		if w != "" {
			return w
		}
	}
	return ""
}

// UnmarshalJSON takes the schemas true and false as ones that say nothing.
func (s *schema) UnmarshalJSON(data []byte) error {
	if string(data) == "true" || string(data) == "false" {
		return nil
	}
	type plain schema
	return json.Unmarshal(data, (*plain)(s))
}

// allKeys are the paths of every key, those inside of values included, and of the sections.
func allKeys() map[string]bool {
	all := map[string]bool{"$": true, "$.providers": true}
	add := func(root string, format []key) {
		for _, k := range format {
			for path := k.path; path != ""; path = parent(path) {
				all[root+"."+path] = true
			}
			all[root] = true
			switch base(k.path) {
			case "rules", "grants":
				all[root+"."+k.path+"[…]"] = true
				for _, m := range slices.Concat(rightsMembers(&RightsClaim{}), grantMembers(&Grant{})) {
					isGrant := slices.ContainsFunc(grantMembers(&Grant{}), func(g key) bool { return g.path == m.path })
					if m.path == "claim" || isGrant == (base(k.path) == "grants") {
						all[root+"."+k.path+"[…]."+m.path] = true
					}
				}
			case "admins":
				all[root+"."+k.path+"[…]"] = true
				for _, m := range adminMembers(&Admin{}) {
					all[root+"."+k.path+"[…]."+m.path] = true
				}
			case "requestParameters":
				for _, m := range requestMembers(&Request{}) {
					all[root+"."+k.path+".plain."+m.path] = true
				}
				fallthrough
			case "local", "clientSecret", "clientKey":
				for _, o := range origins() {
					all[root+"."+k.path+"."+o] = true
				}
			}
		}
	}
	one := providerKeys(providerDefaults("$"))
	add("$", slices.Concat(fileKeys(), brokerKeys(defaults()), one))
	add(inProviders, append(one, key{path: "name"}))
	return all
}

func TestSchemaHasEveryKey(t *testing.T) {
	schemas, format := readSchema(t), allKeys()
	for _, path := range slices.Sorted(maps.Keys(format)) {
		switch f := schemas[path]; {
		case f == nil:
			t.Errorf("%s is missing from the schema", path)
		case f.title == "":
			t.Errorf("%s has no title", path)
		}
	}
	for _, path := range slices.Sorted(maps.Keys(schemas)) {
		// The claims of a token are its own affair, and so is the payload that the schema looks into for "token".
		if !format[path] && !strings.HasSuffix(path, ".payload.token") {
			t.Errorf("%s is in the schema, and is no key", path)
		}
	}
}

// home is a good file with all that key needs beside it, and itself as value.
func home(key, value string) string {
	build, rest := with, []string{}
	inside, isInside := strings.CutPrefix(key, strings.TrimPrefix(inProviders, "$.")+".")
	switch {
	case inside == "name":
		return several(`{"name": ` + value + "," + with()[1:])
	case isInside:
		return several(bare("main", home(inside, value)))
	case key == "providers":
		return `{"providers": ` + value + `}`
	}
	if list, member, isMember := strings.Cut(key, "[…]."); isMember {
		if list == admins {
			return withTop(`"options": {"control": {"admins": [`+entryWith("admins", member, value)+`]}}`, from("a", issuerA))
		}
		return with(list, "["+entryWith(base(list), member, value)+"]")
	}
	switch {
	case key == "options.authorization.rules", key == "options.authorization.grants":
	case strings.HasPrefix(key, "options.authorization."):
		rest = []string{"options.authorization.grants", `[{"everyone": true, "publish": "a"}]`}
	case strings.HasPrefix(key, "options.modes.local"):
		build = local
	case strings.HasPrefix(key, "options.modes.oidc"):
		build = oidc
	case strings.HasPrefix(key, plainly):
		build = asking
	case strings.HasPrefix(key, "options.revocation."):
		build, rest = revoking, []string{introspect + ".clientId", `"a"`}
	}
	switch key {
	case "options.modes.jwks.filePath":
		rest = []string{uri, ""}
	case "options.common.usernameClaim":
		rest = []string{"options.common.matchUsernameToSubject", "true"}
	case "options.common.clientIdClaim":
		rest = []string{"options.common.matchClientIdToSubject", "true"}
	case tokenFrom:
		rest = []string{"options.common.matchUsernameToSubject", "true"}
	case "options.revocation.retryWindowMs":
		rest = []string{"options.revocation.check", `"onRetry"`}
	case introspect + ".clientAuthentication":
		if value == `"privateKeyJwt"` {
			rest = append(rest, introspect+".clientKey", `"a"`)
		}
	case introspect + ".clientKey", introspect + ".clientKey.plain", introspect + ".clientKey.env", introspect + ".clientKey.filePath":
		rest = signing()
	case introspect + ".clientKeyId":
		rest = append(signing(), introspect+".clientKey", `"a"`)
	case plainly + ".response.jsonPath":
		rest = []string{plainly + ".response.successValue", "1"}
	case plainly + ".response.successValue":
		rest = []string{plainly + ".response.jsonPath", `"a"`}
	case "options.tls.certFile":
		rest = []string{"options.tls.keyFile", `"client.key"`}
	case "options.tls.keyFile":
		rest = []string{"options.tls.certFile", `"client.pem"`}
	case parameters + ".plain.method", parameters + ".plain.headers":
		rest = []string{parameters + ".plain.path", `"/#:jwt_value:#"`}
	case introspect + ".requestParameters.plain.payload":
		rest = []string{introspect + ".requestParameters.plain.method", `"PUT"`}
	case "mode":
		switch value {
		case `"local"`:
			build = local
		case `"oidc"`:
			build = oidc
		case `"introspection"`:
			build = opaque
		}
	case "algorithm":
		if strings.Contains(value, `"HS`) {
			build = local
		}
	}
	return build(append(rest, key, value)...)
}

// entryWith is a good entry of a list in options.authorization that has this member.
func entryWith(list, member, value string) string {
	rest := map[string]string{
		"admins.username": `"provider": "a"`, "admins.provider": `"username": "a"`,
		"rules.claim": `"format": "emqx"`, "rules.format": `"claim": "acl"`,
		"grants.claim": `"value": "a", "publish": "a"`, "grants.value": `"claim": "a", "publish": "a"`,
		"grants.scope": `"publish": "a"`, "grants.everyone": `"publish": "a"`, "grants.publish": `"everyone": true`, "grants.subscribe": `"everyone": true`,
	}[list+"."+member]
	if value == `"publ-subs"` {
		return `{"format": "publ-subs"}`
	}
	return `{"` + member + `": ` + value + ", " + rest + "}"
}

// What the schema says of each key is held against what this package does: a key at its default changes nothing, bounds are
// where the refusals begin, and the words and examples are accepted.
func TestSchemaSaysWhatHolds(t *testing.T) {
	dir := workshop(t)
	writeReferenceFiles(t, dir)
	accepts := func(t *testing.T, file string) *Config {
		t.Helper()
		c, problems := load(t, dir, file)
		if c == nil {
			t.Errorf("%s\n%v", file, problems)
		}
		return c
	}
	withoutDefault := []string{"mode", "algorithm", "options.revocation.recheckIntervalMs", "options.authorization.rules[…].format"} // their absence is no value
	for path, f := range readSchema(t) {
		key := strings.TrimPrefix(path, "$.")
		isMethod := strings.HasSuffix(path, ".requestParameters.plain.method") // empty in a Config, which means POST
		t.Run(path, func(t *testing.T) {
			if f.def != "" && !isMethod {
				if at, absent := accepts(t, home(key, f.def)), accepts(t, home(key, "")); !reflect.DeepEqual(at, absent) {
					t.Errorf("at its default %s: got %+v, without: %+v", f.def, at, absent)
				}
			}
			if f.def == "" && (f.boolean || f.min != nil || len(f.words) > 0) && !slices.Contains(withoutDefault, strings.TrimPrefix(strings.TrimPrefix(path, inProviders+"."), "$.")) {
				t.Error("has no default")
			}
			for _, word := range append(f.words, f.examples...) {
				if word == `"GET"` && strings.Contains(key, introspect) {
					continue // refused there by another rule
				}
				accepts(t, home(key, word))
			}
			if (f.min == nil) != (f.max == nil) {
				t.Error("has one bound only")
			}
			if f.min != nil && f.max != nil {
				accepts(t, home(key, strconv.FormatInt(*f.min, 10)))
				accepts(t, home(key, strconv.FormatInt(*f.max, 10)))
				for _, beyond := range []int64{*f.min - 1, *f.max + 1} {
					if c, _ := load(t, dir, home(key, strconv.FormatInt(beyond, 10))); c != nil {
						t.Errorf("%d is accepted", beyond)
					}
				}
			}
		})
	}
}

// Editors lay what a $ref names over what stands beside it, so that no keyword may be in both places.
func TestSchemaReferencesDoNotCollide(t *testing.T) {
	text, err := os.ReadFile("../../docs/jwt.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	var root map[string]any
	if err := json.Unmarshal(text, &root); err != nil {
		t.Fatal(err)
	}
	defs := root["$defs"].(map[string]any)
	var walk func(path string, value any)
	walk = func(path string, value any) {
		switch v := value.(type) {
		case []any:
			for _, item := range v {
				walk(path, item)
			}
		case map[string]any:
			if ref, ok := v["$ref"].(string); ok {
				for keyword := range defs[strings.TrimPrefix(ref, "#/$defs/")].(map[string]any) {
					if v[keyword] != nil && keyword != "$ref" {
						t.Errorf("%s: %q is here and in %s: use allOf", path, keyword, ref)
					}
				}
			}
			for name, member := range v {
				walk(path+"/"+name, member)
			}
		}
	}
	walk("#", root)
}
