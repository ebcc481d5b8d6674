package token_test

import (
	"encoding/base64"
	"strings"
	"testing"

	"go-jwt-auth/plugin/token"
)

// What people and scripts send along with a token, or make of it, is called by its name, and nothing of the password is told.
func TestWrapping(t *testing.T) {
	// Bytes whose base64 has "+" and "/".
	odd := "\xfb\xff\xbf"
	encode := func(e *base64.Encoding) string {
		return e.EncodeToString([]byte(`{"alg":"RS256"}`)) + "." + e.EncodeToString([]byte(`{"sub":"marked"}`)) + "." + e.EncodeToString([]byte(odd+"a"))
	}
	good := encode(base64.RawURLEncoding)
	const answer = `the token endpoint's whole answer around it: its "access_token" alone is the password`
	for _, c := range []struct{ rule, password, want string }{
		{"Bearer", "Bearer " + good, `a token with "Bearer" before it`},
		{"bearer, as some write it", "bearer " + good, `a token with "Bearer" before it`},
		{"two spaces", "Bearer  " + good, `a token with "Bearer" before it, and white space before or behind it`},
		{"a whole header", "Authorization: Bearer " + good, `a token with "Authorization:" before it, and white space before or behind it, and "Bearer" before it`},
		{"a member of a form", "access_token=" + good, `a token with "access_token=" before it`},
		{"quotes", `"` + good + `"`, "a token with quotes around it"},
		{"single quotes", `'` + good + `'`, "a token with quotes around it"},
		{"typographic quotes", `“` + good + `”`, "a token with quotes around it"},
		{"one quote", good + `"`, "a token with quotes around it"},
		{"a line end", good + "\n", "a token with a line end before or behind it"},
		{"Windows' line end", good + "\r\n", "a token with a line end before or behind it"},
		{"a space", " " + good, "a token with white space before or behind it"},
		{"quotes and a line end", `"` + good + "\"\n", "a token with a line end before or behind it, and quotes around it"},
		{"wrapped lines", good[:20] + "\n" + good[20:40] + "\n" + good[40:], "a token with line ends or white space inside of it"},
		{"padding", encode(base64.URLEncoding), `a token with padding ("=") at the end of its parts`},
		{"base64", encode(base64.RawStdEncoding), `a token with base64's letters "+" and "/" in the place of "-" and "_"`},
		{"base64 with padding", encode(base64.StdEncoding), `a token with base64's letters "+" and "/" in the place of "-" and "_"`},
		{"base64 in lines", encode(base64.StdEncoding)[:30] + "\n" + encode(base64.StdEncoding)[30:], `a token with line ends or white space inside of it, and base64's letters "+" and "/" in the place of "-" and "_"`},
		{"an answer", `{"access_token":"` + good + `","token_type":"Bearer","expires_in":60}`, "a token with " + answer},
		{"an answer, indented", "{\n  \"access_token\": \"" + good + "\"\n}\n", "a token with " + answer},
		{"JSON with another member", `{"jwt":"` + good + `"}`, "a token with JSON around it"},
		{"an answer that is broken", `{"access_token":"` + good + `"`, "a token with other text around it"},
		{"a word that nobody knows", "marked " + good, "a token with other text around it"},
		{"text behind it", good + ", marked", "a token with other text around it"},
		{"an encrypted one", "Bearer " + base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"dir","enc":"A256GCM"}`)) + ".a.b.c.d", `a token with "Bearer" before it`},
		{"cut off behind the payload", good[:strings.LastIndex(good, ".")], "the beginning of a token, which was cut off"},
		{"cut off in the payload", good[:strings.Index(good, ".")+4], "the beginning of a token, which was cut off"},
		{"cut off in the header", good[:15], "the beginning of a token, which was cut off"},
		{"more layers than are taken off", strings.Repeat("Bearer ", 20) + good, "a token with other text around it"},

		{"a password", "hunter2", ""},
		{"an empty one", "", ""},
		{"dots", "a.b.c", ""},
		{"a quoted password", `"my.secret.word"`, ""},
		{"Bearer of something else", "Bearer a.b.c", ""},
		{"JSON without a token", `{"access_token":"a.b.c"}`, ""},
		{"a word that decodes to a brace", "exit", ""},
		{"many dots", strings.Repeat(".", 65535), ""},
		{"deep JSON", strings.Repeat(`{"a":`, 10000) + "..", ""},
	} {
		t.Run(c.rule, func(t *testing.T) {
			if shape, _ := token.Classify(c.password); shape != token.Other {
				t.Fatal("it is a token")
			}
			got := token.Wrapping(c.password)
			if got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
			if strings.Contains(got, "marked") || strings.Contains(got, "eyJ") {
				t.Errorf("something of the password is told: %s", got)
			}
		})
	}
}
