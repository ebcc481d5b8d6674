package token_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"go-jwt-auth/plugin/config"
	"go-jwt-auth/plugin/internal/testkeys"

	"github.com/golang-jwt/jwt/v5"
)

// FuzzAgainstParser holds the verifier against the parser of golang-jwt: both accept the same tokens, and find the same
// claims in them, but for what stricter names. The token is header and payload as they are, signed by one of the
// algorithms; or with other text in the place of the signature.
func FuzzAgainstParser(f *testing.F) {
	algorithms := []string{"HS256", "ES256", "EdDSA", "RS256", "PS256"}
	keys, benches := make([]testkeys.Key, len(algorithms)), make([]*bench, len(algorithms))
	for i, alg := range algorithms {
		keys[i] = testkeys.New(alg, "k")
		benches[i] = newBench(f, keys[i], config.Common{})
		for _, header := range []string{
			`{"alg":"` + alg + `"}`, `{"alg":"` + alg + `","kid":"k","typ":"JWT"}`, `{"kid":"x","alg":"` + alg + `"}`, `{"alg":"` + alg + `","kid":null}`,
			`{"alg":"` + alg + `","crit":[]}`, `{"alg":"none","alg":"` + alg + `"}`, `{"alg":"` + alg + `","x":{"a":1,"a":1}} `, `{"alg":"none"}`, `{"ALG":"` + alg + `"}`,
			"{\"alg\":\"" + alg + "\",\"x\":\"\xff\"}", `{"alg":"` + alg + `"}x`, `{"alg":"` + alg + `","kid":"\ud800"}`, `{"alg":"` + alg + `","kid":"` + strings.Repeat("k", 7000) + `"}`,
		} {
			f.Add(uint8(i), header, `{"sub":"alice","exp":1.8e9,"a":[1.0,-0,true,null,{"b":"\u00e9\ud83d\ude00"},[]]}`, "")
		}
		for _, payload := range []string{
			`{}`, ` {"a":1} `, `null`, `[]`, `"x"`, ``, `{}{}`, `{} x`, `{"a":1,"a":2}`, `{"a":{"b":1,"\u0062":2}}`, "{\"\xff\":1}", `{"a":"\udc00"}`, `{"a":"\ufffd"}`,
			`{"a":` + strings.Repeat("[", 300) + strings.Repeat("]", 300) + `}`, `{"a":01}`, `{"a":1e999}`, `{"":"\u0000"}`, "\ufeff{}", `{"a":1,}`,
		} {
			f.Add(uint8(i), `{"alg":"`+alg+`","kid":"k"}`, payload, "")
		}
		for _, tail := range []string{".", ".AAAA", ".AA", ".A", "", ".=", ".\n", "..", ".AAAA\n", ".AAAA.AAAA"} {
			f.Add(uint8(i), `{"alg":"`+alg+`","kid":"k"}`, `{"sub":"alice"}`, tail)
		}
	}
	f.Fuzz(func(t *testing.T, which uint8, header, payload, tail string) {
		i := int(which) % len(algorithms)
		password := keys[i].SignRaw(header, payload)
		if tail != "" {
			password = b64(header) + "." + b64(payload) + tail
		}
		verdict, claims := benches[i].judge(t, password)
		accepted := verdict == "accept"
		parsed, err := jwt.NewParser(jwt.WithValidMethods(algorithms[i:i+1]), jwt.WithoutClaimsValidation(), jwt.WithJSONNumber(), jwt.WithStrictDecoding()).
			Parse(password, func(token *jwt.Token) (any, error) {
				if kid, _ := token.Header["kid"].(string); kid != "" && kid != "k" {
					return nil, errors.New("no such key")
				}
				return keys[i].Public(), nil
			})
		reason := stricter(header, payload, tail)
		switch {
		case reason == beyondParser:
		case reason != "" && accepted:
			t.Errorf("accepted, although %s: %q . %q %q", reason, header, payload, tail)
		case reason == "" && accepted != (err == nil):
			t.Errorf("%s, where the parser said %v: %q . %q %q", verdict, err, header, payload, tail)
		case accepted && !reflect.DeepEqual(claims.All(), map[string]any(parsed.Claims.(jwt.MapClaims))):
			t.Errorf("claims %v, where the parser has %v", claims.All(), parsed.Claims)
		}
	})
}

// beyondParser is what the parser can't read and may be accepted here: the name Ed25519 (TestEd25519 has it), and numbers in
// the header that no float64 holds.
const beyondParser = "the parser can't read it"

// stricter names what is refused here and may pass the parser, by means of its own; empty where there is nothing of it.
func stricter(header, payload, tail string) string {
	if strings.ContainsAny(tail, "\r\n") {
		return "it has line breaks"
	}
	if base64.RawURLEncoding.EncodedLen(len(header)) > 8192 {
		return "its header is long"
	}
	for _, part := range []string{header, payload} {
		if fault := faultOf(part); fault != "" {
			return fault
		}
	}
	var members map[string]any
	var overflow *json.UnmarshalTypeError
	switch err := json.Unmarshal([]byte(header), &members); {
	case errors.As(err, &overflow):
		return beyondParser
	case err != nil:
		return ""
	}
	for _, name := range []string{"alg", "kid", "typ"} {
		if value, present := members[name]; present {
			if _, isString := value.(string); !isString {
				return name + " is no string"
			}
		}
	}
	if _, present := members["crit"]; present {
		return "it has crit"
	}
	if members["alg"] == "Ed25519" {
		return beyondParser
	}
	return ""
}

// faultOf says why a part is no JSON object as jsonvalue wants it, although encoding/json reads one.
func faultOf(part string) string {
	if !utf8.ValidString(part) {
		return "it is no UTF-8"
	}
	d := json.NewDecoder(strings.NewReader(part))
	var whole json.RawMessage
	if d.Decode(&whole) != nil {
		return "" // the parser says so too
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return "something follows"
	}
	if !bytes.HasPrefix(whole, []byte("{")) {
		return "it is no object"
	}
	d = json.NewDecoder(bytes.NewReader(whole))
	d.UseNumber()
	return walk(d, 0, regexp.MustCompile(`(?i)\\ufffd|\x{FFFD}`).MatchString(part))
}

// walk reads one value. replaced says that the text itself holds U+FFFD, which is not to be taken for half a surrogate pair.
func walk(d *json.Decoder, depth int, replaced bool) string {
	token, err := d.Token()
	if err != nil {
		panic(err) // it was read before
	}
	half := func(text string) bool { return !replaced && strings.ContainsRune(text, utf8.RuneError) }
	if text, isString := token.(string); isString && half(text) {
		return "it has half a surrogate pair"
	}
	open, nested := token.(json.Delim)
	if !nested {
		return ""
	}
	depth++
	if depth > 256 {
		return "it is nested deep"
	}
	names := map[string]bool{}
	for d.More() {
		if open == '{' {
			name, _ := d.Token()
			if half(name.(string)) {
				return "it has half a surrogate pair"
			}
			if names[name.(string)] {
				return "it has a name twice"
			}
			names[name.(string)] = true
		}
		if fault := walk(d, depth, replaced); fault != "" {
			return fault
		}
	}
	_, _ = d.Token()
	return ""
}
