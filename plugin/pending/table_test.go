package pending

import (
	"testing"

	"go-jwt-auth/plugin/broker"
)

// A verdict is told by client id, and the broker says nothing when a pending client drops: an attempt counts only for as long as
// nobody has come by its id or from its address.
func TestAnAttemptCountsUntilSomebodyComesInItsPlace(t *testing.T) {
	nobody := func(string, broker.Conn) bool { return false }
	for _, c := range []struct {
		rule        string
		next        broker.Connect
		isConnected func(string, broker.Conn) bool
		counts      bool
	}{
		{"somebody else comes", broker.Connect{Conn: 2, ClientID: "d"}, nobody, true},
		{"by its client id", broker.Connect{Conn: 2, ClientID: "c"}, nobody, false},
		{"from its address", broker.Connect{Conn: 1, ClientID: "d"}, nobody, false},
		{"the broker asks again for a client that is connected by its id", broker.Connect{Conn: 2, ClientID: "c"}, func(string, broker.Conn) bool { return true }, true},
	} {
		t.Run(c.rule, func(t *testing.T) {
			table := NewTable()
			a := &attempt{connect: broker.Connect{Conn: 1, ClientID: "c"}}
			table.add(a)
			table.DropSuperseded(c.next, c.isConnected)
			if got := table.take(a); got != c.counts {
				t.Errorf("it counts: %t, want %t", got, c.counts)
			}
			if table.take(a) || len(table.byID)+len(table.byConn) != 0 {
				t.Error("it counts twice")
			}
		})
	}
	table := NewTable()
	a := &attempt{connect: broker.Connect{Conn: 1, ClientID: "c"}}
	table.add(a)
	table.Gone(1)
	table.Gone(2)
	if table.take(a) {
		t.Error("one that has disconnected counts")
	}
}
