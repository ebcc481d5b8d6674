package verdict_test

import (
	"encoding/base64"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"go-jwt-auth/plugin/token"
	"go-jwt-auth/plugin/verdict"
)

const (
	jws = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhIn0.c2lnbmF0dXJl"
	jwe = "eyJhbGciOiJkaXIiLCJlbmMiOiJBMTI4R0NNIn0..aXY.dGV4dA.dGFn"
)

func TestQuote(t *testing.T) {
	x95, x96 := strings.Repeat("x", 95), strings.Repeat("x", 96)
	for _, c := range []struct{ rule, in, want string }{
		{"empty", "", `""`},
		{"plain", "alice", `"alice"`},
		{"quotes", `a"b`, `"a\"b"`},
		{"line breaks don't forge log lines", "a\r\nb", `"a\r\nb"`},
		{"nor do those of Unicode", "a\u2028b\u0085", `"a\u2028b\u0085"`},
		{"terminals are not steered", "\x1b[2J\u202e", `"\x1b[2J\u202e"`},
		{"no valid UTF-8", "\xff", `"\xff"`},
		{"letters of all scripts stay", "žluť 猫", `"žluť 猫"`},
		{"the longest", x96, `"` + x96 + `"`},
		{"longer ones are cut", x96 + "x", `"` + x96 + `"… (97 bytes)`},
		{"not inside of a letter", x95 + "ž", `"` + x95 + `"… (97 bytes)`},
		{"rubbish is cut as well", strings.Repeat("\x80", 97), `"` + strings.Repeat(`\x80`, 96) + `"… (97 bytes)`},
		{"a token is not shown", jws, `(a token)`},
		{"nor an encrypted one", jwe, `(a token)`},
		{"nor one that is malformed", "eyJhbGciOiJSUzI1NiJ.eyJzdWIiOiJhIn0.c2lnbmF0dXJl", `(a token)`},
		{"nor one without a signature", "eyJhbGciOiJub25lIn0.e30.", `(a token)`},
		{"nor one with a word before it", "Bearer " + jws, `"Bearer (a token)"`},
		{"nor one that is part of a name", "device-" + jws, `"device-(a token)"`},
		{"without even a hyphen", "token" + jws, `"token(a token)"`},
		{"nor one in a path", "https://idp.test/check/" + jws + "?a=b", `"https://idp.test/check/(a token)?a=b"`},
		{"nor one with dots before it", "a.b." + jws, `"a.b.(a token)"`},
		{"nor one of two", jws + "," + jwe, `"(a token),(a token)"`},
		{"nor one that is longer than what is shown", x96 + " " + jws, `"` + x96 + `"… (146 bytes)`},
		{"nor one at the end of what is shown", x95[:90] + " " + jws, `"` + x95[:90] + ` (a to"… (140 bytes)`},
		{"nor one whose header is spaced", base64.RawURLEncoding.EncodeToString([]byte("\n { \"alg\" : \"RS256\" }")) + ".e30.c2ln", `(a token)`},
		{"nor one with a long header", longToken(), `(a token)`},
		{"nor what has more beginnings than are tried", strings.Repeat("eyJ", 100) + "..", `(a token)`},
		{"two parts are none", "eyJhbGciOiJSUzI1NiJ9.e30", `"eyJhbGciOiJSUzI1NiJ9.e30"`},
		{"nor are three words", "idp.example.com", `"idp.example.com"`},
		{"nor an address with such letters in it", "keyJo.example.com", `"keyJo.example.com"`},
		{"nor one that begins with a brace in base64", "exit.example.com", `"exit.example.com"`},
		{"nor a version", "1.2.3-rc.4", `"1.2.3-rc.4"`},
		{"the words that stand for one are no token", "(a token)", `"(a token)"`},
	} {
		t.Run(c.rule, func(t *testing.T) {
			if got := verdict.Quote(c.in); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

func TestQuoteList(t *testing.T) {
	for _, c := range []struct {
		rule  string
		texts []string
		want  string
	}{
		{"none", nil, ""},
		{"one", []string{"a"}, `"a"`},
		{"as many as are shown", []string{"a", "b\n"}, `"a", "b\n"`},
		{"more", []string{"a", jws, "c", "d"}, `"a", (a token) and 2 more`},
	} {
		t.Run(c.rule, func(t *testing.T) {
			if got := verdict.QuoteList(c.texts, 2); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

// longToken has certificates in its header.
func longToken() string {
	header := `{"alg":"RS256","x5c":["` + strings.Repeat("MIIC", 1000) + `"]}`
	return base64.RawURLEncoding.EncodeToString([]byte(header)) + ".e30.c2ln"
}

func TestQuoteUnless(t *testing.T) {
	for _, c := range []struct{ rule, secret, in, want string }{
		{"an opaque token is not shown", "opaque", "opaque", "(a token)"},
		{"what differs is", "opaque", "opaque2", `"opaque2"`},
		{"there is none", "", "", `""`},
		{"another token is not shown either", "opaque", jws, "(a token)"},
	} {
		if got := string(verdict.ValueUnless(c.secret, c.in).AppendTo(nil)); got != c.want {
			t.Errorf("%s: the value is %s, want %s", c.rule, got, c.want)
		}
		if got := verdict.QuoteUnless(c.secret, c.in); got != c.want {
			t.Errorf("%s: got %s, want %s", c.rule, got, c.want)
		}
	}
}

func TestWord(t *testing.T) {
	long := "https://idp.test/" + strings.Repeat("x", 256)
	for _, c := range []struct{ rule, in, want string }{
		{"an address stays", "https://idp.test/keys?…", `"https://idp.test/keys?…"`},
		{"a path stays", "realm_access.roles", "realm_access.roles"},
		{"a claim that is an address stays", "https://example.com/role", "https://example.com/role"},
		{"nothing is quoted", "", `""`},
		{"several words are quoted", "a b", `"a b"`},
		{"quotes are quoted", `a"b`, `"a\"b"`},
		{"so are escapes", `a\nb`, `"a\\nb"`},
		{"control characters are", "a\nb\x1b", `"a\nb\x1b"`},
		{"a long one is cut", long, `"` + long[:96] + `"… (273 bytes)`},
		{"a token in it is not shown", "https://idp.test/" + jws, `"https://idp.test/(a token)"`},
	} {
		t.Run(c.rule, func(t *testing.T) {
			if got := verdict.Word(c.in); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

func TestAddress(t *testing.T) {
	for _, c := range []struct{ rule, in, want string }{
		{"IPv4", "192.0.2.7", "192.0.2.7"},
		{"IPv6", "2001:db8::7", "2001:db8::7"},
		{"IPv4 in IPv6", "::ffff:192.0.2.7", "::ffff:192.0.2.7"},
		{"a zone can be any text", "fe80::1%x] refused", `"fe80::1%x] refused"`},
		{"a port", "192.0.2.7:1883", `"192.0.2.7:1883"`},
		{"two", "192.0.2.7, 192.0.2.8", `"192.0.2.7, 192.0.2.8"`},
		{"a lie", "192.0.2.7] accepted as \"admin\"\n", `"192.0.2.7] accepted as \"admin\"\n"`},
		{"none", "", `""`},
	} {
		t.Run(c.rule, func(t *testing.T) {
			if got := string(verdict.AppendAddress(nil, c.in)); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

func TestLineAndPhrase(t *testing.T) {
	for _, c := range []struct{ rule, in, want string }{
		{"empty", "", ""},
		{"plain text stays", `client "a\n" [192.0.2.7] refused: žluť – 猫 100 % \`, `client "a\n" [192.0.2.7] refused: žluť – 猫 100 % \`},
		{"line breaks don't forge log lines", "valid for a\r\nb, not c", `valid for a\r\nb, not c`},
		{"nor do those of Unicode", "a\u2028b\u0085", `a\u2028b\u0085`},
		{"terminals are not steered", "\x1b[2J\u202e\U000e0001\x00", `\x1b[2J\u202e\U000e0001\x00`},
		{"no valid UTF-8", "a\xffb", `a\xffb`},
		{"U+FFFD itself is a letter like others", "a\ufffd", "a\ufffd"},
		{"a token is not shown", "POST https://idp.test/" + jws + ": no", "POST https://idp.test/(a token): no"},
	} {
		t.Run(c.rule, func(t *testing.T) {
			if got := verdict.Line(c.in); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
			if got := verdict.Phrase(c.in); got != c.want {
				t.Errorf("as a phrase: got %s, want %s", got, c.want)
			}
			if got := verdict.Line(verdict.Line(c.in)); got != c.want {
				t.Errorf("twice: got %s, want %s", got, c.want)
			}
		})
	}
	long := strings.Repeat("x", 511) + "\u202e"
	if got, want := verdict.Phrase(long), long[:511]+"… (514 bytes)"; got != want {
		t.Errorf("a long phrase: got %s, want %s", got, want)
	}
}

func TestCut(t *testing.T) {
	for _, c := range []struct{ in, head string }{
		{"0123456789", "0123456789"},
		{"0123456789a", "0123456789"},
		{"012345678ž", "012345678"},
		{`012345678\n`, `012345678`},
		{`01234567\n9`, `01234567\n`},
		{`0123456\x1b`, `0123456`},
		{`012345\u202e`, `012345`},
		{`0\U000e0001`, `0`},
		{`012345678\\`, `012345678`},
		{`01234567\\9`, `01234567\\`},
		{`\`, `\`},
		{`\žluťoučký`, `\žluťou`},
	} {
		head, rest := verdict.Cut(c.in, 10)
		if head != c.head || head+rest != c.in {
			t.Errorf("%s: got %s and %s, want %s", c.in, head, rest, c.head)
		}
	}
}

// FuzzQuote: whatever comes, what is quoted is one printable line of bounded length, and reads as what was quoted.
func FuzzQuote(f *testing.F) {
	for _, s := range []string{"", "a\nb", "\x1b\u202e\xff", jws, "x" + jwe, strings.Repeat("eyJ", 100) + "..", strings.Repeat("ž", 100), "eyJ..", "eyIiOjF..", longToken()} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for _, got := range []string{verdict.Quote(s), verdict.Word(s), string(verdict.AppendAddress(nil, s)), verdict.Phrase(s), verdict.Line(s)} {
			if !utf8.ValidString(got) || strings.ContainsFunc(got, func(r rune) bool { return !strconv.IsPrint(r) }) {
				t.Errorf("%q became %q", s, got)
			}
			if strings.Contains(got, jws) {
				t.Errorf("%q became %q", s, got)
			}
		}
		if verdict.IsPlainLine([]byte(s)) && verdict.Line(s) != s {
			t.Errorf("%q is called plain, and becomes %q", s, verdict.Line(s))
		}
		if shape, _ := token.Classify(s); shape != token.Other && verdict.Quote(s) != "(a token)" {
			t.Errorf("%q is a token, and is shown as %s", s, verdict.Quote(s))
		}
		if got := verdict.Quote(s); len(got) > 4*96+40 {
			t.Errorf("%d bytes: %s", len(got), got)
		}
		if got, err := strconv.Unquote(verdict.Quote(s)); err == nil && got != s && !strings.Contains(got, "(a token)") {
			t.Errorf("%q reads as %q", s, got)
		}
	})
}

// What the line of an accepted login is made of allocates nothing, and the guard behind it neither.
func TestAPlainLineIsMadeWithoutAllocation(t *testing.T) {
	space := make([]byte, 0, 200)
	var line []byte
	if n := testing.AllocsPerRun(100, func() {
		line = verdict.ValueUnless("", "sensor.17.example.com").AppendTo(space)
		line = verdict.AppendAddress(append(line, ' '), "192.0.2.7")
		if !verdict.IsPlainLine(line) {
			t.Errorf("%s is not called plain", line)
		}
	}); n != 0 {
		t.Errorf("%.0f allocations", n)
	}
	if want := `"sensor.17.example.com" 192.0.2.7`; string(line) != want {
		t.Errorf("got %s, want %s", line, want)
	}
}

func BenchmarkQuote(b *testing.B) {
	for _, c := range []struct{ name, in string }{
		{"id", "sensor-0815"},
		{"host", "sensor.17.example.com"},
		{"token", jws},
		{"hostile", strings.Repeat(strings.Repeat("eyJ", 300)+".", 70)},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				verdict.Quote(c.in)
			}
		})
	}
}
