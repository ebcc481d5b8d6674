package main

import (
	"fmt"
	"strings"
	"time"

	"go-jwt-auth/idp"
	"go-jwt-auth/test/brokers"
)

// never is the delay of an endpoint that does not answer.
const never time.Duration = -1

// delays of the introspection endpoint that every scenario with the plugin is measured at.
var delays = []time.Duration{0, 100 * time.Millisecond, 2 * time.Second, never}

// How long the plugin waits for the endpoint: longer than every delay, and short where there will be no answer.
const (
	patient   = 10 * time.Second
	impatient = 2 * time.Second
)

// object is a JSON object.
type object = map[string]any

// scenario is one row of the table.
type scenario struct {
	version brokers.Version
	name    string
	storm   bool
	plugin  bool
	check   string // options.revocation.check, "" for the default
	warm    bool   // revocation.cache holds every token's answer beforehand
	delay   time.Duration

	// What is asked of it; only scenarios with the plugin are judged.
	judged     bool // by the pair's p99
	throughput bool // by logins/s, too, where the delay bounds them
}

// The scenarios that the others of their version are compared with.
const (
	idle      = "idle"
	anonymous = "anonymous"
)

// allScenarios are those of the oldest and the newest broker, in the order in which they take turns. Mosquitto 2.1 lets
// a login wait without the broker waiting, so the default must do there; on 2.0 it can't, and what counts are the ways
// around that.
func allScenarios() []scenario {
	versions := brokers.All()
	oldest, newest := versions[0], versions[len(versions)-1]
	all := references(oldest)
	all = append(all, atEveryDelay(scenario{version: oldest, name: "afterConnect", check: "afterConnect", judged: true, throughput: true})...)
	// Its clients come back later, so the delay does not bound how many log in.
	all = append(all, atEveryDelay(scenario{version: oldest, name: "onRetry", check: "onRetry", judged: true})...)
	all = append(all, atEveryDelay(scenario{version: oldest, name: "warm cache", warm: true, judged: true, throughput: true})...)
	all = append(all, atEveryDelay(scenario{version: oldest, name: "beforeConnect"})...)
	all = append(all, references(newest)...)
	return append(all, atEveryDelay(scenario{version: newest, name: "beforeConnect", judged: true, throughput: true})...)
}

func references(v brokers.Version) []scenario {
	return []scenario{{version: v, name: idle}, {version: v, name: anonymous, storm: true}}
}

// atEveryDelay is a scenario with the plugin, once for each delay.
func atEveryDelay(s scenario) []scenario {
	s.storm, s.plugin = true, true
	all := make([]scenario, 0, len(delays))
	for _, s.delay = range delays {
		all = append(all, s)
	}
	return all
}

// choose keeps the scenarios with text in their title, and what they are compared with.
func choose(all []scenario, text string) []scenario {
	wanted := map[string]bool{} // versions
	for _, s := range all {
		wanted[s.version.Name] = wanted[s.version.Name] || strings.Contains(s.title(), text)
	}
	var chosen []scenario
	for _, s := range all {
		if strings.Contains(s.title(), text) || s.name == anonymous && wanted[s.version.Name] {
			chosen = append(chosen, s)
		}
	}
	return chosen
}

// title names the scenario: "2.0.11 onRetry, 100 ms".
func (s scenario) title() string {
	title := s.version.Name + " " + s.name
	switch {
	case !s.plugin:
		return title
	case s.delay == never:
		return title + ", never"
	default:
		return fmt.Sprintf("%s, %d ms", title, s.delay.Milliseconds())
	}
}

// config is the scenario's jwt.json.
func (s scenario) config(p *idp.Provider) object {
	timeout := patient
	if s.delay == never {
		timeout = impatient
	}
	revocation := object{
		"timeoutMs": timeout.Milliseconds(),
		"introspection": object{
			"uri":          p.IntrospectionURI(),
			"clientId":     p.Broker().ID,
			"clientSecret": p.Broker().Secret,
		},
	}
	if s.check != "" {
		revocation["check"] = s.check
	}
	if s.warm {
		revocation["cache"] = object{"ttlMs": time.Hour.Milliseconds()}
	}
	return object{
		"algorithm": "RS256",
		"mode":      "jwks",
		"options": object{
			"modes":      object{"jwks": object{"uri": p.JWKSURI(), "cache": object{"enabled": true}}},
			"common":     object{"issuer": p.Issuer(), "matchUsernameToSubject": true},
			"revocation": revocation,
		},
	}
}

// impose has the endpoint be as slow as the scenario wants for requests that arrive from now on, until lift is called,
// which lets those go that are held.
func (s scenario) impose(p *idp.Provider) (lift func()) {
	if s.delay == never {
		return p.Hold(idp.Introspect)
	}
	p.SetDelay(idp.Introspect, s.delay)
	return func() { p.SetDelay(idp.Introspect, 0) }
}
