package plugin

import (
	"hash/maphash"
	"time"

	"go-jwt-auth/plugin/broker"
)

// denials remembers which denied actions have been logged: of each client, action and topic one in denialsApart, and no more of all
// together than it has room for. A client that is denied something does not wait and may go on as fast as it can.
type denials struct {
	seed maphash.Seed
	sets [denialSets][denialsInSet]denial
	// untold counts those for which there was no room.
	untold uint64
}

type denial struct {
	key uint64
	at  time.Time
}

const (
	denialsApart = time.Minute
	denialSets   = 128
	denialsInSet = 8
)

// tell tells whether an action that is denied is to be logged. It allocates nothing.
func (d *denials) tell(c broker.ACLCheck, now time.Time) bool {
	if d.seed == (maphash.Seed{}) {
		d.seed = maphash.MakeSeed()
	}
	key := maphash.Comparable(d.seed, denied{c.Conn, c.Access, maphash.String(d.seed, c.Topic)})
	set := &d.sets[key%denialSets]
	room := -1
	for i := range set {
		switch was := &set[i]; {
		case was.at.IsZero() || now.Sub(was.at) >= denialsApart || now.Before(was.at): // the clock may be set back
			room = i
		case was.key == key:
			return false
		}
	}
	if room < 0 {
		d.untold++
		return false
	}
	set[room] = denial{key, now}
	return true
}

// denied is what is logged once.
type denied struct {
	conn   broker.Conn
	access broker.Access
	topic  uint64
}
