package config

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

func TestSecretIsNeverShown(t *testing.T) {
	s := NewSecret("hunter2")
	type hidden struct{ inner struct{ secret Secret } }
	h := hidden{struct{ secret Secret }{s}}
	c := &Provider{Local: s, Revocation: &Revocation{Introspection: Introspection{ClientSecret: s}}}
	var out strings.Builder
	for _, v := range []any{s, &s, []Secret{s}, map[string]Secret{"a": s}, c, *c, *c.Revocation, h, &h} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t"} {
			fmt.Fprintf(&out, verb+"\n", v)
		}
		text, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		out.Write(text)
		slog.New(slog.NewTextHandler(&out, nil)).Info("x", "secret", v)
		slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "secret", v)
	}
	for _, form := range []string{"hunter2", "68756e74657232", "68756E74657232", "104 117 110", "0x68, 0x75"} {
		if strings.Contains(out.String(), form) {
			t.Errorf("shown as %s in\n%s", form, out.String())
		}
	}
	for _, form := range []string{s.String(), s.GoString(), fmt.Sprintf("%x", s)} {
		if form != "(set)" {
			t.Errorf("got %s", form)
		}
	}
	if text, err := json.Marshal(s); err != nil || string(text) != `"(set)"` {
		t.Errorf("got %s, %v", text, err)
	}
}

func TestSecret(t *testing.T) {
	for _, s := range []Secret{{}, NewSecret("")} {
		if s.IsSet() || s.Reveal() != "" || s.String() != "(not set)" {
			t.Errorf("empty: got %v %v %q", s.IsSet(), s, s.Reveal())
		}
	}
	if s := NewSecret("a"); !s.IsSet() || s.Reveal() != "a" {
		t.Errorf("got %v %q", s.IsSet(), s.Reveal())
	}
}
