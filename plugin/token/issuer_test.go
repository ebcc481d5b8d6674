package token_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"strings"
	"testing"

	"go-jwt-auth/plugin/internal/jsonvalue"
	"go-jwt-auth/plugin/token"
)

// compact is a token with this payload; nothing else of it counts here.
func compact(payload string) string {
	return "e30." + base64.RawURLEncoding.EncodeToString([]byte(payload)) + ".AA"
}

func TestIssuerOfAPayload(t *testing.T) {
	long := strings.Repeat("x", 10_000)
	for _, c := range []struct {
		rule, payload string
		iss           string
		found         bool
		err           string
	}{
		{"alone", `{"iss":"https://idp.test"}`, "https://idp.test", true, ""},
		{"first", `{"iss":"a","sub":"iss"}`, "a", true, ""},
		{"last", `{"sub":"iss","iss":"a"}`, "a", true, ""},
		{"with white space", " {\t\"iss\"\r\n: \"a\" ,\n\"sub\" : 1 } \n", "a", true, ""},
		{"empty", `{"iss":""}`, "", true, ""},
		{"beside values of all kinds", `{"a":[1,{"b":"]}"}],"c":{"iss":"nested","d":[]},"e":-1.5e3,"f":null,"g":true,"h":"\"iss\":\\","iss":"a"}`, "a", true, ""},
		{"of any letters", `{"iss":"ümlaut ✓"}`, "ümlaut ✓", true, ""},
		{"long", `{"a":"` + long + `","iss":"` + long + `"}`, long, true, ""},
		{"an escape in the value", `{"iss":"https:\/\/idp.test\u0041"}`, "https://idp.testA", true, ""},
		{"an escape in the name", `{"\u0069ss":"a"}`, "a", true, ""},
		{"an escape in another name", `{"\u0069st":"b","iss":"a"}`, "a", true, ""},
		{"absent", `{"sub":"a"}`, "", false, ""},
		{"an empty object", `{}`, "", false, ""},
		{"nested alone", `{"a":{"iss":"a"},"b":["iss","a"]}`, "", false, ""},
		{"in another case", `{"Iss":"a","ISS":"b"}`, "", false, ""},
		{"names that begin alike", `{"is":"a","isss":"b","":"c"}`, "", false, ""},

		{"twice", `{"iss":"a","iss":"a"}`, "", false, `it has a name twice in one object: "iss"`},
		{"twice, apart", `{"iss":"a","sub":{"x":1},"iss":"b"}`, "", false, `it has a name twice in one object: "iss"`},
		{"twice, once with an escape", `{"iss":"a","i\u0073s":"b"}`, "", false, `it has a name twice in one object: "iss"`},
		{"twice, first with an escape", `{"i\u0073s":"b","iss":"a"}`, "", false, `it has a name twice in one object: "iss"`},
		{"a number", `{"iss":1}`, "", false, "its iss is not a string"},
		{"null", `{"iss":null}`, "", false, "its iss is not a string"},
		{"an array", `{"iss":["a"]}`, "", false, "its iss is not a string"},
		{"an object", `{"iss":{"iss":"a"}}`, "", false, "its iss is not a string"},
		{"an array, and an escape", `{"\u0069ss":["a"]}`, "", false, "its iss is not a string"},
		{"an array, and another one", `{"iss":["a"],"iss":"a"}`, "", false, `it has a name twice in one object: "iss"`},
		{"an array as payload", `["iss","a"]`, "", false, "it is JSON, but not an object"},
		{"a string as payload", `"iss"`, "", false, "it is JSON, but not an object"},
		{"nothing", ``, "", false, "it is not JSON"},
		{"no JSON", `{"iss":"a`, "", false, "it is not JSON"},
		{"no JSON before it", `{"a":1,,"iss":"a"}`, "", false, "it is not JSON"},
		{"a byte order mark", "\uFEFF" + `{"iss":"a"}`, "", false, "it is not JSON"},
		{"a name without quotes", `{iss:"iss"}`, "", false, "it is not JSON"},
		{"no colon", `{"iss","a"}`, "", false, "it is not JSON"},
		{"something after it", `{"iss":"a"}{"iss":"b"}`, "", false, "something follows the JSON object"},
		{"an escape that is none", `{"\i":1,"iss":"a"}`, "", false, "it is not JSON"},
		{"a string without end", `{"iss":"a\"}`, "", false, "it is not JSON"},
	} {
		iss, found, err := token.Issuer(nil, compact(c.payload))
		text := ""
		if err != nil {
			text = strings.TrimPrefix(err.Error(), "its payload can't be read: ")
		}
		if string(iss) != c.iss || found != c.found || text != c.err {
			t.Errorf("%s: got %q, %t, %v; want %q, %t, %s", c.rule, iss, found, err, c.iss, c.found, c.err)
		}
	}
	for _, broken := range []string{"", "e30", "e30.", "e30.e30=.AA", "e30.!.AA", "e30.eyJpc3MiOiJhIn1.", "e30.eyJpc3MiOiJhIn0"} {
		iss, found, err := token.Issuer(nil, broken)
		if broken == "e30.eyJpc3MiOiJhIn0" { // Classify has found two dots
			continue
		}
		if err == nil || found || iss != nil {
			t.Errorf("%q: got %q, %t, %v", broken, iss, found, err)
		}
	}
}

// TestIssuerUsesTheBufferOfItsCaller, and leaves what stands in it before.
func TestIssuerUsesTheBufferOfItsCaller(t *testing.T) {
	var space [64]byte
	iss, found, err := token.Issuer(space[:0], compact(`{"iss":"https://idp.test"}`))
	if err != nil || !found || &iss[0] != &space[0] {
		t.Errorf("got %q, %t, %v", iss, found, err)
	}
}

// payload700 is a payload as Keycloak sends it, of 700 bytes.
func payload700() string {
	const head = `{"exp":1795446300,"iat":1795446000,"jti":"0b2f7e1e-7d24-4f41-9f0b-5b1c3b6c1d11","iss":"https://idp.example.com/realms/devices",` +
		`"aud":["mqtt","account"],"sub":"f1b4f0a2-6a0c-4a5e-8f2e-3d7d0d1f2a3b","typ":"Bearer","azp":"device-17","session_state":` +
		`"b0b7c7f2-1111-4f41-9f0b-5b1c3b6c1d11","allowed-origins":["https://app.example.com"],"realm_access":{"roles":["offline_access",` +
		`"uma_authorization","operator"]},"resource_access":{"account":{"roles":["manage-account","view-profile"]}},"scope":"openid mqtt:read mqtt:write",` +
		`"email_verified":true,"preferred_username":"device-17","note":"`
	const tail = `"}`
	return head + strings.Repeat("x", 700-len(head)-len(tail)) + tail
}

func TestIssuerAllocatesNothing(t *testing.T) {
	var space [256]byte
	for _, password := range []string{compact(payload700()), compact(`{"a":"` + strings.Repeat("x", 12_000) + `","iss":"a"}`), compact(`{"sub":"a"}`)} {
		if n := testing.AllocsPerRun(1000, func() {
			if _, _, err := token.Issuer(space[:0], password); err != nil {
				t.Fatal(err)
			}
		}); n > 0 {
			t.Errorf("%d bytes: %f allocations", len(password), n)
		}
	}
}

func BenchmarkIssuer(b *testing.B) {
	known := map[string]int{"https://idp.example.com/realms/devices": 1}
	password := compact(payload700())
	b.ReportAllocs()
	for b.Loop() {
		var space [256]byte
		iss, found, err := token.Issuer(space[:0], password)
		if err != nil || !found || known[string(iss)] != 1 {
			b.Fatal(string(iss), err)
		}
	}
}

// FuzzIssuer holds Issuer against the strict reader, which reads the payload when the provider has been chosen: of what that
// takes, both read the same issuer. iss twice never chooses.
func FuzzIssuer(f *testing.F) {
	for _, payload := range []string{
		`{"iss":"a"}`, `{"sub":"b","iss":"a"}`, `{"i\u0073s":"a","iss":"b"}`, `{"iss":"a\u0000\ud83d\ude00"}`, `{"a":{"iss":"x"},"iss":"y"}`,
		`{"iss":1}`, `{}`, `[]`, ` { "iss" : "a" } `, `{"a":[[{"b":"\\\""}]],"iss":"a"}`, `{"iss":"a","iss":"b"}`, `{"iss":"a"}x`, "{\"iss\":\"\xff\"}", payload700(),
	} {
		f.Add([]byte(payload))
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		iss, found, err := token.Issuer(nil, compact(string(payload)))
		if (err != nil || !found) && iss != nil {
			t.Fatalf("an issuer without being found: %q", iss)
		}
		members, strict := jsonvalue.Object(payload)
		if strict != nil {
			if all, lax := jsonvalue.Members(payload); lax == nil && len(all["iss"]) > 1 && err == nil && !bytes.HasPrefix(payload, []byte("\uFEFF")) {
				t.Fatalf("iss is there %d times, and chooses %q", len(all["iss"]), iss)
			}
			return
		}
		value, present := members["iss"]
		text, isText := value.(string)
		switch {
		case !present && (err != nil || found):
			t.Fatalf("there is none: got %q, %t, %v", iss, found, err)
		case present && !isText && !errors.Is(err, token.ErrIssuer):
			t.Fatalf("it is not a string: got %q, %t, %v", iss, found, err)
		case present && isText && (err != nil || !found || string(iss) != text):
			t.Fatalf("got %q, %t, %v; want %q", iss, found, err, text)
		}
	})
}
