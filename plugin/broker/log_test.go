package broker

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"go-jwt-auth/plugin/event"
	"go-jwt-auth/plugin/verdict"
)

// recorder holds each line to what may go to a broker's log.
type recorder struct {
	Broker
	t   *testing.T
	log []string
}

func (r *recorder) Log(level event.Level, line []byte) {
	text := string(line)
	if !strings.HasPrefix(text, "go_jwt_auth: ") || strings.ContainsFunc(text, func(c rune) bool { return !strconv.IsPrint(c) }) || !utf8.ValidString(text) || len(text) > 880 {
		r.t.Errorf("not fit for the log: %q", text)
	}
	r.log = append(r.log, fmt.Sprintf("%s %s", [...]string{"error", "warning", "notice", "info", "debug"}[level], text))
}

func TestALongTextIsDividedInside(t *testing.T) {
	for _, c := range []struct{ rule, text string }{
		{"short", "a"},
		{"one line", strings.Repeat("x", 860)},
		{"just more", strings.Repeat("x", 869)},
		{"several lines", strings.Repeat("client \"x\" [192.0.2.7] accepted as admin ", 100)},
		{"letters", strings.Repeat("ž", 2000)},
		{"escapes", strings.Repeat("\u202e\x1b\n", 300)},
	} {
		t.Run(c.rule, func(t *testing.T) {
			b := &recorder{t: t} // it looks at each line
			NewLog(b).Text(event.Notice, c.text)
			var read strings.Builder
			for i, line := range b.log {
				line = strings.TrimPrefix(line, "notice go_jwt_auth: ")
				if i > 0 {
					rest, marked := strings.CutPrefix(line, "… ")
					if !marked {
						t.Errorf("line %d begins with text from inside: %s", i+1, line)
					}
					line = rest
				}
				if i < len(b.log)-1 {
					rest, marked := strings.CutSuffix(line, " …")
					if !marked {
						t.Errorf("line %d does not say that it goes on: %s", i+1, line)
					}
					line = rest
				}
				read.WriteString(line)
			}
			if want := verdict.Line(c.text); read.String() != want {
				t.Errorf("got  %s\nwant %s", read.String(), want)
			}
		})
	}
	b := &recorder{t: t}
	NewLog(b).Text(event.Notice, strings.Repeat("x", 1<<20))
	if len(b.log) != 9 || !strings.Contains(b.log[8], "go_jwt_auth: … and 1041") || !strings.HasSuffix(b.log[8], " bytes more") {
		t.Errorf("%d lines, the last: %s", len(b.log), b.log[len(b.log)-1])
	}
}
