package jsonvalue_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"go-jwt-auth/plugin/internal/jsonvalue"
)

func TestMembers(t *testing.T) {
	for _, c := range []struct {
		rule, in, want string
		err            error
	}{
		{"values stay as they are", ` { "a" : {"b":[1, "]"]} , "A":"x\u00e4" } `, `A="x\u00e4" a={"b":[1, "]"]}`, nil},
		{"a name that occurs twice, also escaped", `{"a":1,"\u0061":2}`, `a=1 a=2`, nil},
		{"a name that occurs twice inside harms nobody else", `{"a":{"b":1,"b":2}}`, `a={"b":1,"b":2}`, nil},
		{"invalid UTF-8 inside neither", "{\"a\":\"\xff\"}", "a=\"\xff\"", nil},
		{"nothing", `{}`, ``, nil},
		{"a byte order mark", "\uFEFF{\"a\":1}", `a=1`, nil},
		{"an array", `[]`, ``, jsonvalue.ErrNotObject},
		{"null", `null`, ``, jsonvalue.ErrNotObject},
		{"HTML", `<html>`, ``, jsonvalue.ErrNotJSON},
		{"empty", ``, ``, jsonvalue.ErrNotJSON},
		{"half of it", `{"a":[1`, ``, jsonvalue.ErrNotJSON},
		{"no value", `{"a":}`, ``, jsonvalue.ErrNotJSON},
		{"two objects", `{}{}`, ``, jsonvalue.ErrTrailing},
		{"nested too deep", `{"a":` + strings.Repeat("[", 100_000), ``, jsonvalue.ErrNotJSON},
	} {
		t.Run(c.rule, func(t *testing.T) {
			members, err := jsonvalue.Members([]byte(c.in))
			if !errors.Is(err, c.err) {
				t.Fatalf("got %v, want %v", err, c.err)
			}
			var got []string
			for _, name := range []string{"A", "a"} {
				for _, value := range members[name] {
					got = append(got, name+"="+string(value))
				}
			}
			if c.err == nil && strings.Join(got, " ") != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

func TestElements(t *testing.T) {
	got, err := jsonvalue.Elements([]byte(` [ {"a":1,"a":2}, 7 ,"x",[ ] ] `))
	if text := fmt.Sprintf("%s", got); err != nil || text != `[{"a":1,"a":2} 7 "x" [ ]]` {
		t.Errorf("got %s, %v", text, err)
	}
	for in, want := range map[string]error{
		`{}`: jsonvalue.ErrNotArray, `"a"`: jsonvalue.ErrNotArray, `[1`: jsonvalue.ErrNotJSON, `[1,]`: jsonvalue.ErrNotJSON, `[]1`: jsonvalue.ErrTrailing,
	} {
		if _, err := jsonvalue.Elements([]byte(in)); !errors.Is(err, want) {
			t.Errorf("%s: got %v, want %v", in, err, want)
		}
	}
}

func TestText(t *testing.T) {
	for in, want := range map[string]string{`"a\u00e4"`: "aä", `""`: ""} {
		if got, ok := jsonvalue.Text([]byte(in)); !ok || got != want {
			t.Errorf("%s: got %q, %t", in, got, ok)
		}
	}
	for _, in := range []string{`7`, `null`, `["a"]`, "\"\xff\"", `"\ud800"`} {
		if got, ok := jsonvalue.Text([]byte(in)); ok {
			t.Errorf("%s: got %q", in, got)
		}
	}
}
