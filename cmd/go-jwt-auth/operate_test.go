package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"go-jwt-auth/cmd/internal/control"
)

func TestRefusals(t *testing.T) {
	r := startBroker(t)
	r.Refuse(control.Refusal{Time: from(-time.Minute) + 0.25, About: "login", ClientID: "pump-7", Address: "10.0.0.7", Subject: "sensor-1", JTI: "j-1", Reason: "expired", Detail: "exp is 2 min ago"})
	r.Refuse(control.Refusal{Time: from(0), About: "renewal", ClientID: "laptop", Hash: "sha256:3570d8191270", Reason: "bad signature"})
	s := r.tool(t.Context(), 100, "", "refusals").want(t, 0)
	want := `TIME                 CLIENT ID  ADDRESS   TOKEN                REFUSED
2026-01-31 11:59:00  pump-7     10.0.0.7  sensor-1             expired: exp is 2 min ago
2026-01-31 12:00:00  laptop     –         sha256:3570d8191270  renewal: bad signature
2 refusals
`
	if s.out != want {
		t.Errorf("got\n%s\nwant\n%s", s.out, want)
	}
	r.tool(t.Context(), 0, "", "refusals", "--reason", "expired").want(t, 0, "\n1 refusal\n")
	r.tool(t.Context(), 0, "", "refusals", "--since", "1").want(t, 0, "\n1 refusal\n").lacks(t, "pump-7")
	if o := r.tool(t.Context(), 0, "", "refusals", "--json", "--client-id", "x").object(t); o["lastId"] != 2.0 || fmt.Sprint(o["refusals"]) != "[]" {
		t.Error(o)
	}
	step := 0
	text := r.watched(t, 100, func(text string) bool {
		if step == 0 && strings.Contains(text, "laptop") {
			step = 1
			r.Drop()
			r.Refuse(control.Refusal{Time: from(time.Second), About: "login", ClientID: "x\ny", Username: "u", Provider: "p", Reason: "revoked"})
		}
		return strings.Contains(text, "revoked")
	}, "refusals")
	if lines := strings.Split(text, "\n"); len(lines) != 4 || lines[2] != `2026-01-31T12:00:01Z "x\ny", username "u", provider "p": revoked` && lines[2] != `2026-01-31T12:00:01Z "x\ny", username u, provider p: revoked` {
		t.Errorf("%q", lines)
	}
}

func TestStatus(t *testing.T) {
	r := startBroker(t)
	r.Status.Version, r.Status.StartedAt, r.Status.ConfigFile = "0.1.0", from(-time.Hour), "/etc/mosquitto/jwt.json"
	r.Status.Broker.Version, r.Status.Broker.Ticks, r.Status.Broker.Complete = "2.1.2", true, true
	r.Status.Sessions.All, r.Status.Sessions.Connected, r.Status.Sessions.Token = 3, 2, 1
	r.Status.Logins, r.Status.Refusals, r.Status.Blocks = 10, 2, 1
	r.Status.Reloads.Count, r.Status.Reloads.LastAt = 2, from(-time.Minute)
	r.Status.Providers = []control.ProviderStatus{{
		Name: "devices", Issuers: []string{"https://id.example.com"}, Mode: "oidc", Algorithm: control.Words{"RS256"}, Ready: true, Sessions: 1,
		Keys: control.KeyStatus{Count: 2, Endpoint: "https://id.example.com/keys", LastSuccess: from(-time.Minute)},
		Revocation: &control.RevocationStatus{
			Endpoint: "https://id.example.com/introspect", Check: "beforeConnect", Breaker: "closed", InFlight: 1, Latency: &control.Latency{P50: 2.5, P99: 12, Count: 128},
		},
	}}
	s := r.tool(t.Context(), 0, "", "status").want(t, 0)
	want := `go_jwt_auth 0.1.0 in Mosquitto 2.1.2, started 2026-01-31T11:00:00Z, 60 min ago
  clients     3 clients: 2 connected, 1 by token
  logins      10 accepted, 2 refused, 0 pending, 0 queued
  blocks      1
  file        /etc/mosquitto/jwt.json, 2 reloads, the last 2026-01-31T11:59:00Z, 60 s ago
✓ provider devices (mode oidc, algorithm RS256, issuer https://id.example.com), 1 client
    keys        2 keys from https://id.example.com/keys, read 2026-01-31T11:59:00Z, 60 s ago
    revocation  https://id.example.com/introspect, beforeConnect
                1 in flight, 0 queued; half of the last 128 took up to 2.5 ms, 99 % up to 12 ms
`
	if s.out != want {
		t.Errorf("got\n%s\nwant\n%s", s.out, want)
	}
	r.Plugin.Change(func() {
		p := &r.Status.Providers[0]
		p.Ready, p.Keys.Stale, p.Keys.Error, p.Revocation.Breaker, p.Revocation.Error = false, true, "HTTP 500", "open", "timeout"
		r.Status.Reloads.LastError, r.Status.Broker.Ticks, r.Status.Broker.Complete = "not JSON", false, false
	})
	r.tool(t.Context(), 0, "", "status").want(t, exitNo, "✗ provider devices", "it is not ready", "! they are old", "✗ HTTP 500", "circuit breaker is open", "✗ timeout",
		"✗ the last reload failed: not JSON", "does not call the plugin regularly", "does not tell of all")
	if o := r.tool(t.Context(), 0, "", "status", "--json").want(t, exitNo).object(t); o["version"] != "0.1.0" {
		t.Error(o)
	}
}

func TestDisconnect(t *testing.T) {
	start := func(t *testing.T) *running {
		r := startBroker(t)
		r.Put(fleet()...)
		return r
	}
	t.Run("it shows whom, and asks", func(t *testing.T) {
		r := start(t)
		s := r.tool(t.Context(), 100, "n\n", "disconnect", "--provider", "devices").want(t, exitNo, "pump-7", "Disconnect 1 client? [y/N]", "nothing is done")
		s.lacks(t, "laptop")
		r.tool(t.Context(), 100, "", "disconnect", "--client-id", "laptop").want(t, exitNo, "nothing is done")
		if asked := r.Asked("disconnectSession"); len(asked) != 0 {
			t.Error(asked)
		}
		r.tool(t.Context(), 100, "y\n", "disconnect", "--client-id", "laptop").want(t, 0, "✓ 1 client disconnected")
		r.tool(t.Context(), 100, "y\n", "disconnect", "--client-id", "laptop").want(t, exitNo, "nobody is connected by that")
		r.tool(t.Context(), 100, "y\n", "disconnect", "--client-id", "gone").want(t, exitNo, "nobody is connected by that")
	})
	t.Run("an interruption is a no", func(t *testing.T) {
		r := start(t)
		ctx, interrupt := context.WithCancel(t.Context())
		in, _ := io.Pipe() // nobody answers
		c := r.console(100, "")
		var out bytes.Buffer
		c.in, c.out = in, &out
		c.err = &screenBuffer{seen: func(text string) {
			if strings.Contains(text, "[y/N]") {
				interrupt()
			}
		}}
		if code := run(ctx, []string{"disconnect", "--client-id", "laptop", "--url", r.url}, c); code != exitNo || len(r.Asked("disconnectSession")) != 0 {
			t.Errorf("exit code %d", code)
		}
	})
	t.Run("a client id that another takes over while it asks", func(t *testing.T) {
		for _, takesOver := range []bool{false, true} {
			r := start(t)
			in, answer := io.Pipe()
			c := r.console(100, "")
			var out bytes.Buffer
			asked := false
			c.in, c.out = in, &out
			c.err = &screenBuffer{seen: func(text string) {
				if asked || !strings.Contains(text, "[y/N]") {
					return
				}
				asked = true
				again := fleet()[1]
				again.ConnectedAt++ // the same may come back
				if takesOver {
					again.Username, again.Token.Subject = "boss", "boss"
				}
				r.Put(again)
				go func() { _, _ = io.WriteString(answer, "y\n") }()
			}}
			code := run(t.Context(), []string{"disconnect", "--client-id", "laptop", "--url", r.url}, c)
			if n := len(r.Asked("disconnectSession")); takesOver != (code == exitNo) || takesOver != (n == 0) {
				t.Errorf("taken over %t: exit code %d, %d commands", takesOver, code, n)
			}
		}
	})
	t.Run("many", func(t *testing.T) {
		r := start(t)
		for n := range 30 {
			s := fleet()[1]
			s.ClientID = fmt.Sprint("l", n)
			r.Put(s)
		}
		r.tool(t.Context(), 100, "y\n", "disconnect", "--username", "jdoe", "--block", "10m").want(t, 0, "… and 21 more", "Disconnect 31 clients and block them for 10m0s?",
			"31 clients disconnected, 31 blocked until ")
	})
	t.Run("it does not ask", func(t *testing.T) {
		r := start(t)
		r.tool(t.Context(), 0, "", "disconnect", "--sub", "jdoe", "--provider", "employees", "--block", "90s", "--reason", "stolen", "--yes").want(t, 0, "1 client disconnected, 1 blocked")
		got := r.Asked("disconnectSession")[0]
		delete(got, "correlationData")
		if fmt.Sprint(got) != "map[block:90 command:disconnectSession provider:employees reason:stolen sub:jdoe]" {
			t.Error(got)
		}
		if o := r.tool(t.Context(), 0, "", "disconnect", "--client-id", "nobody", "--yes", "--json").want(t, exitNo).object(t); o["disconnected"] != 0.0 {
			t.Error(o)
		}
		r.tool(t.Context(), 100, "", "blocks").want(t, 0, "ID  PROVIDER   WHO   UNTIL", "1   employees  jdoe", "stolen", "\n1 block\n")
		if o := r.tool(t.Context(), 0, "", "blocks", "--json").object(t); len(o["blocks"].([]any)) != 1 {
			t.Error(o)
		}
		r.tool(t.Context(), 0, "", "unblock", "1").want(t, 0, "✓ block 1 is ended")
		r.tool(t.Context(), 0, "", "unblock", "1").want(t, exitNo, "no such block")
		r.tool(t.Context(), 0, "", "unblock", "one").want(t, exitUnknown, "is a number")
		r.tool(t.Context(), 0, "", "blocks").want(t, 0, "0 blocks")
	})
	t.Run("misused", func(t *testing.T) {
		r := start(t)
		for want, args := range map[string][]string{
			"whom?":                   {},
			"--sub: it is empty":      {"--sub", "", "--provider", "devices", "--yes"},
			"--username: it is empty": {"--username=", "--provider", "devices", "--yes"},
			"--provider: it is empty": {"--sub", "jdoe", "--provider", "", "--yes"},
			"only one of":             {"--client-id", "a", "--sub", "b"},
			"a client id is one":      {"--client-id", "a", "--provider", "b"},
			"a whole provider":        {"--provider", "a", "--block", "1m"},
			"whole seconds":           {"--sub", "a", "--block", "1500ms"},
			"from 1s to 24h":          {"--sub", "a", "--block", "25h"},
			"must have at most 256":   {"--sub", "a", "--reason", strings.Repeat("x", 257)},
			"--json needs --yes":      {"--sub", "a", "--json"},
			"standard input is taken": {"--sub", "a", "--token-file", "-"},
		} {
			r.tool(t.Context(), 0, "y\n", append([]string{"disconnect"}, args...)...).want(t, exitUnknown, want)
		}
		if asked := r.Asked("disconnectSession"); len(asked) != 0 {
			t.Error(asked)
		}
	})
}
