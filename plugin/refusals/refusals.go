// Package refusals remembers the last logins and renewals that were refused, for admins.
//
// It belongs to the broker's thread.
package refusals

import (
	"iter"
	"time"

	"go-jwt-auth/plugin/event"
	"go-jwt-auth/plugin/verdict"
)

// Most is how many are remembered.
const Most = 256

// longest is how much of a name or a detail is kept, in bytes.
const longest = 1024

// Refusal is one. What is not known is empty.
type Refusal struct {
	// ID numbers them. It is greater than those of before a restart, as the first is the time in microseconds.
	ID   uint64
	Time time.Time
	// About is event.Login or event.Renewal.
	About                                          string
	ClientID, Address, Username, Provider, Subject string
	// LogID names the token.
	LogID  string
	Reason verdict.Reason
	Detail string
}

// Ring remembers the last Most.
type Ring struct {
	kept        [Most]Refusal
	first, last uint64
}

// New returns an empty Ring.
func New(now time.Time) *Ring {
	began := uint64(max(now.UnixMicro(), 0))
	return &Ring{first: began, last: began}
}

// Event remembers what is a refusal.
func (r *Ring) Event(e *event.Event, now time.Time) {
	switch e.Kind {
	case event.Judged, event.RenewalRefused:
	default:
		return
	}
	o, is := e.Outcome()
	if !is || o.Result != event.Refused {
		return
	}
	username := e.Username
	if username == (verdict.Value{}) {
		username = e.Sent
	}
	r.last++
	r.kept[r.last%Most] = Refusal{
		ID: r.last, Time: now, About: o.About, ClientID: clone(e.Client.ID), Address: verdict.Shorten(e.Client.Address, longest), Username: clone(username),
		Provider: e.Provider, Subject: clone(e.Subject), LogID: e.LogID, Reason: o.Reason, Detail: verdict.Shorten(o.Detail, longest),
	}
}

func clone(v verdict.Value) string {
	if v == (verdict.Value{}) {
		return ""
	}
	return string([]byte(v.Text(longest))) // a part of it would keep the whole
}

// Last is the id of the last one.
func (r *Ring) Last() uint64 { return r.last }

// Len is how many are remembered.
func (r *Ring) Len() int { return int(min(r.last-r.first, Most)) }

// After are those with a greater id, oldest first.
func (r *Ring) After(id uint64) iter.Seq[*Refusal] {
	return func(yield func(*Refusal) bool) {
		first := max(id, r.last-uint64(r.Len())) //nolint:gosec // it is not negative
		for at := first + 1; at <= r.last; at++ {
			if !yield(&r.kept[at%Most]) {
				return
			}
		}
	}
}
