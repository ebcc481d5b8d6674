package admin

import (
	"time"

	"go-jwt-auth/plugin/broker"
	"go-jwt-auth/plugin/event"
	"go-jwt-auth/plugin/roster"
	"go-jwt-auth/plugin/session"
	"go-jwt-auth/plugin/verdict"
)

// Session is a client as admins see it; docs/control.md says what its members mean. What is not known is zero.
type Session struct {
	ClientID        string `json:"clientid"`
	Username        string `json:"username,omitempty"`
	Address         string `json:"address,omitempty"`
	Port            uint16 `json:"port,omitempty"`
	Transport       string `json:"transport"`
	ProtocolVersion string `json:"protocolVersion"`
	Connected       bool   `json:"connected"`
	ConnectedAt     int64  `json:"connectedAt,omitempty"`
	DisconnectedAt  int64  `json:"disconnectedAt,omitempty"`
	Login           string `json:"login"`
	EnhancedAuth    bool   `json:"enhancedAuth,omitempty"`
	Admin           bool   `json:"admin,omitempty"`
	Token           *Token `json:"token,omitempty"`
}

// Token is the one that a client has shown last.
type Token struct {
	Provider  string `json:"provider,omitempty"`
	Subject   string `json:"sub,omitempty"`
	JTI       string `json:"jti,omitempty"`
	Hash      string `json:"hash,omitempty"`
	Expires   int64  `json:"expires,omitempty"`
	LeavesAt  int64  `json:"leavesAt,omitempty"`
	RecheckAt int64  `json:"recheckAt,omitempty"`
	Renewals  uint32 `json:"renewals,omitempty"`
}

// Detail is a Session with what only getSession tells.
type Detail struct {
	Session
	KeepAlive     uint16  `json:"keepAlive"`
	CleanStart    bool    `json:"cleanStart"`
	Subscriptions int     `json:"subscriptions"`
	Rights        *Rights `json:"rights,omitempty"`
}

// Rights are those that the token gives.
type Rights struct {
	OnNoMatch string   `json:"onNoMatch"`
	Rules     []string `json:"rules"`
}

// View is what is known of a client of the roster besides.
type View struct {
	// Info is what the broker tells.
	Info broker.ClientInfo
	// Session is that of a client which is connected by a token, or nil.
	Session *session.Session
	// Admin: it may use these commands.
	Admin bool
}

// Describe makes a Session. No text in it is a token, and all others are whole.
func Describe(c *roster.Client, v View, now time.Time) Session {
	s := Session{
		ClientID: Shown(c.ID, c.Secret), Address: v.Info.Address, Port: v.Info.Port, Transport: "mqtt", ProtocolVersion: VersionOf(v.Info.Version),
		Connected: c.Connected, ConnectedAt: c.Since, DisconnectedAt: c.Left, Login: c.Login.String(), Admin: v.Admin,
	}
	if name := v.Info.Username; name != nil {
		s.Username = ShownName(*name, c, v)
	}
	if v.Info.WebSocket {
		s.Transport = "websockets"
	}
	if v.Session != nil {
		s.EnhancedAuth = v.Session.ByAuth
		s.Token = tokenOf(v.Session, now)
	}
	return s
}

func tokenOf(s *session.Session, now time.Time) *Token {
	known := s.Known()
	t := &Token{
		Provider: s.Provider.Name(), Subject: Shown(known.Subject, false), Expires: date(known.Expires), LeavesAt: date(s.LeavesAt(now)), RecheckAt: date(s.RecheckAt()),
		Renewals: s.Renewed(),
	}
	t.JTI, t.Hash = namesOf(s.LogID)
	return t
}

// namesOf are the jti or the hash that name a token.
func namesOf(logID string) (jti, hash string) {
	if jti, hash = event.TokenNames(logID); hash != "" {
		hash = "sha256:" + hash
	}
	return jti, hash
}

// date is a NumericDate (RFC 7519 §2) in whole seconds; 0: there is none.
func date(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.Unix()
}

// Shown is a name without what looks like a token, or is one.
func Shown(name string, secret bool) string {
	if secret {
		return verdict.ValueUnless(name, name).Text(len(name))
	}
	return verdict.Shorten(name, len(name))
}

// ShownName is the username of a client as Shown has it.
func ShownName(name string, c *roster.Client, v View) string {
	return Shown(name, c.Secret && name == c.ID || v.Session != nil && v.Session.NameIsToken)
}

// VersionOf is the name of a version of MQTT.
func VersionOf(v uint8) string {
	switch v {
	case 3:
		return "v3.1"
	case 4:
		return "v3.1.1"
	default:
		return "v5"
	}
}

// rightsOf says what a token gives in the words of `go-jwt-auth check-token`.
func rightsOf(g *session.Grant) *Rights {
	r := &Rights{OnNoMatch: "deny", Rules: []string{}}
	if g.Defers() {
		r.OnNoMatch = "defer"
	}
	for rule := range g.Rules() {
		r.Rules = append(r.Rules, rule.String())
	}
	return r
}
