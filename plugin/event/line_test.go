package event_test

import (
	"errors"
	"testing"
	"time"

	"go-jwt-auth/plugin/config"
	"go-jwt-auth/plugin/event"
	"go-jwt-auth/plugin/verdict"
)

// Users search their logs for these lines.
func TestLines(t *testing.T) {
	const unavailable = "provider unavailable: no answer"
	client := event.Client{ID: verdict.ValueUnless("", "c"), Address: "192.0.2.7"}
	connected := event.Client{ID: verdict.ValueUnless("", "c")}
	alice := verdict.ValueUnless("", "alice")
	accept := verdict.Verdict{Kind: verdict.Accept}
	unchecked := verdict.Verdict{Kind: verdict.Accept, Unchecked: true, Note: unavailable}
	expired := verdict.Refuse(verdict.Expired, "exp is over")
	retry := verdict.Refuse(verdict.ProviderUnavailable, "it is being asked")
	retry.Kind = verdict.Retry
	second := config.At("$.providers[1]")
	for _, c := range []struct {
		rule  string
		event event.Event
		level event.Level
		line  string
	}{
		{
			"accepted by a name",
			event.Event{Client: client, Verdict: accept, Username: alice, LogID: `jti "1"`},
			event.Debug, `client "c" [192.0.2.7] accepted as "alice" (token jti "1")`,
		},
		{
			"accepted by its own name, of several providers",
			event.Event{Client: client, Verdict: accept, LogID: `jti "1"`, Provider: "a"},
			event.Debug, `client "c" [192.0.2.7] accepted as its own username (provider a, token jti "1")`,
		},
		{
			"accepted without an answer",
			event.Event{Client: client, Verdict: unchecked, Username: alice, LogID: "sha256:1", Path: second},
			event.Notice, `client "c" [192.0.2.7] accepted as "alice" without having been asked about ($.providers[1].options.revocation.onUnavailable): ` + unavailable + ` (token sha256:1)`,
		},
		{"pending", event.Event{Client: client, Verdict: verdict.Verdict{Kind: verdict.Pending}, LogID: "x"}, event.Debug, `client "c" [192.0.2.7] waits for its verdict (token x)`},
		{
			"not a token",
			event.Event{Client: client, Verdict: verdict.Verdict{Kind: verdict.Defer}},
			event.Debug, `client "c" [192.0.2.7] left to the next plugin or password file: its password is no token`,
		},
		{
			"a token with something around it",
			event.Event{Client: client, Verdict: verdict.Verdict{Kind: verdict.Defer, Note: `a token with "Bearer" before it`}},
			event.Notice, `client "c" [192.0.2.7] left to the next plugin or password file: it sent a token with "Bearer" before it, and has to send the token alone`,
		},
		{
			"put off",
			event.Event{Client: client, Verdict: retry, LogID: "x"},
			event.Notice, `client "c" [192.0.2.7] put off, its next attempt will be answered: provider unavailable: it is being asked (token x)`,
		},
		{"refused", event.Event{Client: client, Verdict: expired, LogID: "x"}, event.Notice, `client "c" [192.0.2.7] refused: expired: exp is over (token x)`},
		{"refused without a token", event.Event{Client: client, Verdict: expired, Provider: "a"}, event.Notice, `client "c" [192.0.2.7] refused: expired: exp is over`},
		{"the zero event is a refusal", event.Event{Client: connected}, event.Notice, `client "c" refused: `},
		{"asked again", event.Event{Kind: event.Reaffirmed, Client: client}, event.Debug, `client "c" [192.0.2.7] stays: the broker asked again after a reload`},
		{
			"not confirmed",
			event.Event{Kind: event.NotConfirmed, Client: connected, Verdict: unchecked, LogID: "x"},
			event.Notice, `client "c" stays without having been asked about ($.options.revocation.onUnavailable): ` + unavailable + ` (token x)`,
		},
		{
			"not rechecked",
			event.Event{Kind: event.NotRechecked, Client: connected, Verdict: verdict.Refuse(verdict.ServerBusy, "full"), LogID: "x"},
			event.Debug, `client "c" stays, though nothing was learnt about it: server busy: full (token x)`,
		},
		{"left before its verdict", event.Event{Kind: event.LeftPending, Client: client, Verdict: accept}, event.Debug, `client "c" [192.0.2.7] left before its verdict (accept)`},
		{"left when accepted", event.Event{Kind: event.LeftAccepted, Client: client, LogID: "x"}, event.Info, `client "c" [192.0.2.7] had left when it was accepted (token x)`},
		{"disconnected", event.Event{Kind: event.Disconnected, Client: connected, Why: "expired", LogID: "x", Provider: "a"}, event.Notice, `client "c" disconnected: expired (provider a, token x)`},
		{"not there", event.Event{Kind: event.NotThere, Client: connected, Why: "expired"}, event.Debug, `client "c" was not there when it was to be disconnected (expired)`},
		{
			"not disconnected",
			event.Event{Kind: event.NotDisconnected, Client: connected, Why: "expired", Err: errors.New("no memory")},
			event.Error, `client "c" could not be disconnected (expired): no memory`,
		},
		{
			"renewed",
			event.Event{Kind: event.Renewed, Client: connected, Verdict: accept, Until: time.Date(2026, 11, 29, 15, 0, 0, 1, time.UTC), LogID: "x", Provider: "a"},
			event.Debug, `client "c" renewed, and may stay until 2026-11-29T15:00:00Z (provider a, token x)`,
		},
		{"renewed by a token without end", event.Event{Kind: event.Renewed, Client: connected, Verdict: accept, LogID: "x"}, event.Debug, `client "c" renewed, and may stay without end (token x)`},
		{
			"renewed unchecked",
			event.Event{Kind: event.Renewed, Client: connected, Verdict: unchecked, LogID: "x"},
			event.Notice, `client "c" renewed, and may stay without end without having been asked about ($.options.revocation.onUnavailable): ` + unavailable + ` (token x)`,
		},
		{"a renewal that waits", event.Event{Kind: event.RenewalPending, Client: connected, LogID: "x"}, event.Debug, `client "c" waits for the verdict on its renewal (token x)`},
		{"a renewal that is refused", event.Event{Kind: event.RenewalRefused, Client: connected, Verdict: expired, LogID: "x"}, event.Notice, `client "c" not renewed: expired: exp is over (token x)`},
		{
			"a client id that is the token",
			event.Event{Kind: event.Reaffirmed, Client: event.Client{ID: verdict.ValueUnless("secret", "secret")}},
			event.Debug, `client (a token) stays: the broker asked again after a reload`,
		},
	} {
		t.Run(c.rule, func(t *testing.T) {
			const before = "before: "
			level, line := c.event.AppendLine([]byte(before))
			if level != c.level || string(line) != before+c.line {
				t.Errorf("got  %d %s\nwant %d %s", level, line, c.level, before+c.line)
			}
		})
	}
}
