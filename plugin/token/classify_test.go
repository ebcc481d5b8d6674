package token_test

import (
	"encoding/base64"
	"strings"
	"testing"

	"go-jwt-auth/plugin/token"
)

func TestClassify(t *testing.T) {
	b64 := func(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }
	const good = `{"alg":"RS256","kid":"k","typ":"JWT"}`
	is := token.Header{Algorithm: "RS256", KeyID: "k", Type: "JWT"}
	cases := []struct {
		rule, password string
		shape          token.Shape
		header         token.Header
	}{
		{"three parts", b64(good) + ".e30.c2ln", token.Signed, is},
		{"empty payload and signature", b64(good) + "..", token.Signed, is},
		{"the least header", b64(`{"alg":"x"}`) + "..", token.Signed, token.Header{Algorithm: "x"}},
		{"crit, whatever it holds", b64(`{"alg":"x","crit":null}`) + "..", token.Signed, token.Header{Algorithm: "x", Critical: true}},
		{"Ed25519 is EdDSA", b64(`{"alg":"Ed25519"}`) + "..", token.Signed, token.Header{Algorithm: "EdDSA"}},
		{"white space in the header", b64(strings.Repeat(" \n", 100)+"{\t\"alg\":\"x\"}\r\n") + "..", token.Signed, token.Header{Algorithm: "x"}},
		{"a member that is no string is no header's", b64(`{"alg":7,"kid":[],"typ":{}}`) + "..", token.Signed, token.Header{Fault: "its alg is no string"}},
		{"a member twice", b64(`{"alg":"a","alg":"b"}`) + "..", token.Signed, token.Header{Fault: `its header can't be read: it has a name twice in one object: "alg"`}},
		{"names are exact", b64(`{"alg":"a","ALG":"b","Kid":"c"}`) + "..", token.Signed, token.Header{Algorithm: "a"}},
		{"five parts with enc", b64(`{"alg":"RSA-OAEP","enc":"A256GCM"}`) + ".a.b.c.d", token.Encrypted, token.Header{Algorithm: "RSA-OAEP"}},
		{"five parts with enc, all else empty", b64(`{"alg":"dir","enc":"A256GCM"}`) + "....", token.Encrypted, token.Header{Algorithm: "dir"}},
		{"five parts with enc twice", b64(`{"enc":"a","enc":"b"}`) + "....", token.Encrypted, token.Header{Fault: `its header can't be read: it has a name twice in one object: "enc"`}},
		{"five parts without enc", b64(good) + ".a.b.c.d", token.Other, token.Header{}},
		{"three parts without alg", b64(`{"enc":"x","kid":"k"}`) + "..", token.Other, token.Header{}},
		{"alg is null", b64(`{"alg":null}`) + "..", token.Signed, token.Header{Fault: "its alg is no string"}},
		{"ALG is not alg", b64(`{"ALG":"RS256"}`) + "..", token.Other, token.Header{}},
		{"empty", "", token.Other, token.Header{}},
		{"a word", "secret", token.Other, token.Header{}},
		{"a word with two dots", "my.secret.word", token.Other, token.Header{}},
		{"two dots only", "..", token.Other, token.Header{}},
		{"four dots only", "....", token.Other, token.Header{}},
		{"one dot", b64(good) + ".e30", token.Other, token.Header{}},
		{"three dots", b64(good) + ".e30.c2ln.", token.Other, token.Header{}},
		{"very many dots", strings.Repeat(".", 60000), token.Other, token.Header{}},
		{"very many dots behind a header", b64(good) + strings.Repeat(".", 60000), token.Other, token.Header{}},
		{"no header", ".e30.c2ln", token.Other, token.Header{}},
		{"padding in the header", base64.URLEncoding.EncodeToString([]byte(good)) + "=.e30.c2ln", token.Other, token.Header{}},
		{"padding in the payload", b64(good) + ".e30=.c2ln", token.Other, token.Header{}},
		{"padding in the signature", b64(good) + ".e30.c2k=", token.Other, token.Header{}},
		{"the other alphabet", b64(good) + ".e30.c+/n", token.Other, token.Header{}},
		{"stray bits at the header's end", "eyJhbGciOiJ4In1..", token.Signed, token.Header{Fault: "its header is not base64url"}},
		{"the same without them", "eyJhbGciOiJ4In0..", token.Signed, token.Header{Algorithm: "x"}},
		{"a space before", " " + b64(good) + ".e30.c2ln", token.Other, token.Header{}},
		{"a space after", b64(good) + ".e30.c2ln ", token.Other, token.Header{}},
		{"a line break after", b64(good) + ".e30.c2ln\n", token.Other, token.Header{}},
		{"a line break in the header", b64(good)[:8] + "\r\n" + b64(good)[8:] + ".e30.c2ln", token.Other, token.Header{}},
		{"a line break in the payload", b64(good) + ".e3\n0.c2ln", token.Other, token.Header{}},
		{"a line break in the signature", b64(good) + ".e30.c2\nln", token.Other, token.Header{}},
		{"Bearer", "Bearer " + b64(good) + ".e30.c2ln", token.Other, token.Header{}},
		{"NUL", b64(good) + ".e30.c2ln\x00", token.Other, token.Header{}},
		{"JSON instead of base64", good + ".{}.", token.Other, token.Header{}},
		{"the header is an array", b64(`["alg"]`) + "..", token.Other, token.Header{}},
		{"the header is a string", b64(`"alg"`) + "..", token.Other, token.Header{}},
		{"the header is null", b64(`null`) + "..", token.Other, token.Header{}},
		{"the header is empty", b64(`{}`) + "..", token.Other, token.Header{}},
		{"the header is cut", b64(`{"alg":"RS256"`) + "..", token.Signed, token.Header{Fault: "its header can't be read: it is not JSON"}},
		{"the header is cut, with a letter left over", b64(`{"alg":"RS256","kid":"k"}`)[:29] + "..", token.Signed, token.Header{Fault: "its header is not base64url"}},
		{"more behind the header", b64(good+`{}`) + "..", token.Signed, token.Header{Fault: "its header can't be read: something follows the JSON object"}},
		{"invalid UTF-8", b64("{\"alg\":\"\xff\"}") + "..", token.Signed, token.Header{Fault: "its header can't be read: it holds invalid UTF-8"}},
		{"a byte order mark", b64("\ufeff"+good) + "..", token.Signed, token.Header{Fault: "its header can't be read: it is not JSON"}},
		{"nested", b64(`{"alg":"x","a":`+strings.Repeat("[", 5000)) + "..", token.Signed, token.Header{Fault: "its header can't be read: it is nested more than 256 levels deep"}},
		{"nested without end", b64(`{"alg":"x","a":`+strings.Repeat("[", 40000)) + "..", token.Signed, token.Header{Fault: "its header has 53354 bytes, the most is 8192"}},
		{"words that decode to a brace", "exit.the.room", token.Other, token.Header{}},
		{"a word that decodes to a brace and a quote", "eyI.a.b", token.Signed, token.Header{Fault: "its header can't be read: it is not JSON"}},
		{"letters of more than a header may have", strings.Repeat("x", 9000) + "..", token.Other, token.Header{}},
	}
	for _, c := range cases {
		t.Run(c.rule, func(t *testing.T) {
			if shape, header := token.Classify(c.password); shape != c.shape || header != c.header {
				t.Errorf("got %d, %+v, want %d, %+v", shape, header, c.shape, c.header)
			}
		})
	}
}

func TestName(t *testing.T) {
	name := token.NewText("secret").Name()
	if name != "sha256:2bb80d537b1d" { // sha256sum
		t.Errorf("got %s", name)
	}
	if token.NewText("Secret").Name() == name {
		t.Error("two tokens share a name")
	}
}

func TestID(t *testing.T) {
	cases := []struct {
		rule   string
		claims map[string]any
		want   string
	}{
		{"by jti", map[string]any{"jti": "id-1"}, `jti "id-1"`},
		{"no forged log lines", map[string]any{"jti": "a\nb"}, `jti "a\nb"`},
		{"a jti that is the token itself", map[string]any{"jti": "secret"}, "sha256:2bb80d537b1d"},
		{"no jti", nil, "sha256:2bb80d537b1d"},
		{"an empty jti", map[string]any{"jti": ""}, "sha256:2bb80d537b1d"},
		{"a jti that is no string", map[string]any{"jti": 7.0}, "sha256:2bb80d537b1d"},
	}
	for _, c := range cases {
		t.Run(c.rule, func(t *testing.T) {
			if got := token.NewClaims(c.claims).ID(token.NewText("secret")); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}
