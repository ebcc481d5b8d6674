// Package lifetime sees to it that connected clients leave when their token ends: by its expiry, because the provider says that
// it is not active any more, or because nobody can be asked.
package lifetime

import (
	"errors"
	"fmt"
	"time"

	"go-jwt-auth/plugin/broker"
	"go-jwt-auth/plugin/config"
	"go-jwt-auth/plugin/event"
	"go-jwt-auth/plugin/loop"
	"go-jwt-auth/plugin/provider"
	"go-jwt-auth/plugin/session"
	"go-jwt-auth/plugin/verdict"
)

// Lifetimes are those of the sessions of one plugin instance. Its functions are the house's, and belong to the broker's thread
// as its methods do.
type Lifetimes struct {
	Broker   broker.Broker
	Loop     *loop.Loop
	Now      func() time.Time
	Sessions *session.Registry
	Holders  *session.Holders
	Rights   *session.RightsTable
	// Provider is the one with this id in the configuration in force, or nil.
	Provider func(provider.ID) *provider.Provider
	// File is the path of jwt.json, for messages.
	File func() string
	// Leave records the end of a connection of which the broker has not told.
	Leave func(broker.Conn)
	// Tell reports what has happened to a client.
	Tell func(event.Event)

	// rechecking counts the questions about connected clients that are under way, by the provider that is asked. What hangs at one
	// that has gone from the file, or was changed, holds up nobody.
	rechecking map[*provider.Provider]int
}

// Kick disconnects one client whose time is over; false if there is none.
func (l *Lifetimes) Kick() bool {
	due := l.Sessions.Due(l.Now())
	if due == nil {
		return false
	}
	why := due.Why()
	if why == "" {
		why = l.ended(due)
	}
	l.kick(due, why)
	return true
}

// ended says of which end a session is past: of its token's, or of the time that any connection may last.
func (l *Lifetimes) ended(s *session.Session) string {
	if at := s.LeaveAt; !at.IsZero() && !l.Now().Before(at) {
		return fmt.Sprintf("%s: its time ended at %s", verdict.Expired, at.UTC().Format(time.RFC3339))
	}
	path := config.At("$")
	if p := l.Provider(s.Provider); p != nil {
		path = p.Config().Path
	}
	return fmt.Sprintf("%s: it was connected for as long as %s allows", verdict.Expired, path.Key("options.common.maxSessionMs"))
}

// Expel disconnects a client for a reason that came up after it was admitted. The broker calls Disconnect from inside.
func (l *Lifetimes) Expel(s *session.Session, why verdict.Verdict) {
	if l.Sessions.Lives(s) {
		l.kick(s, why.String())
	}
}

// A kick that has not met its client is tried again after KickAgain, MaxKicks times in all: by then nobody is there. For a client
// that may have taken over its client id it waits MaxWaits times: else an expired client could stay by trying to take over itself.
const (
	KickAgain = time.Second
	MaxKicks  = 3
	MaxWaits  = 10
)

// kick disconnects a client and says why. The broker calls Disconnect from inside; if it does not, the client may still be
// there: it is about to leave (WebSockets on 2.0), or it was just taking over its id from another connection, which the kick
// has met in its place.
func (l *Lifetimes) kick(s *session.Session, why string) {
	known := l.Broker.IsConnectedAs(s.ClientID, s.Conn)
	if !known && s.Waits >= MaxWaits {
		l.forget(s, why)
		return
	}
	if !known {
		s.Waits++
	}
	if !known || !l.hasItsID(s) {
		l.Sessions.Expel(s, l.Now().Add(KickAgain), why)
		return
	}
	e := Event(event.Disconnected, s)
	e.Why = why
	err := l.Broker.Kick(s.ClientID, l.withWill(s))
	s.Kicks++
	if l.Sessions.Lives(s) && s.Kicks < MaxKicks {
		l.Sessions.Expel(s, l.Now().Add(KickAgain), why)
	}
	switch {
	case errors.Is(err, broker.ErrNotConnected):
		e.Kind = event.NotThere
	case err != nil:
		e.Kind, e.Err = event.NotDisconnected, err
	}
	l.Tell(e)
}

// forget ends a session whose client the broker does not know, although it has told of no end: Mosquitto 2.1 ends a connection whose
// re-authentication was refused without a word.
func (l *Lifetimes) forget(s *session.Session, why string) {
	e := Event(event.NotThere, s)
	e.Why = why
	if l.Holders.Has(s.Conn, s.ClientID) {
		l.Leave(s.Conn)
	}
	l.Sessions.Leave(s.Conn)
	l.Tell(e)
}

// withWill tells whether the will is published. If the provider has gone from the file, nobody says otherwise.
func (l *Lifetimes) withWill(s *session.Session) bool {
	p := l.Provider(s.Provider)
	return p == nil || p.Config().Common.KickWithWill
}

// hasItsID tells whether a kick by the client id would meet the session, on a broker that can't say whose that is: Mosquitto 2.0
// lets a client that was accepted take over at once, and of those that others may have let in it says nothing.
func (l *Lifetimes) hasItsID(s *session.Session) bool {
	switch {
	case l.Broker.TellsOfConnects():
		return true
	case l.Holders.TakenOver(s.Conn, s.ClientID):
		return false // of this one nothing but its end is to come
	case l.Holders.Contended(s.Conn, s.ClientID) && s.Waits < MaxWaits:
		s.Waits++
		return false
	}
	return true
}

// Event begins one about a client that is connected.
func Event(kind event.Kind, s *session.Session) event.Event {
	var token string
	if s.IDIsToken {
		token = s.ClientID
	}
	known := s.Known()
	return event.Event{
		Kind: kind, Client: event.Client{ID: verdict.ValueUnless(token, s.ClientID)}, Provider: s.Provider.Name(), LogID: s.LogID,
		Sent: verdict.ValueUnless(token, known.Username), Subject: verdict.ValueUnless(token, known.Subject),
	}
}
