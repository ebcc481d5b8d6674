package pending

import (
	"go-jwt-auth/plugin/broker"
	"go-jwt-auth/plugin/provider"
)

// attempt is a login whose verdict comes later.
type attempt struct {
	// connect is the client with the identity that it was given: the broker is told the verdict by this client id.
	connect broker.Connect
	result  provider.Result
	open    *provider.Open
	// contested: its client id may be that of another session; see Logins.
	contested bool
}

// drop gives up what is still open.
func (a *attempt) drop() {
	if a.open != nil {
		a.open.Drop()
		a.open = nil
	}
}

// Table holds the logins whose verdict is still to come. One serves all instances of the plugin, as the broker has one table of
// client ids: it addresses a verdict by client id alone, and says nothing when a pending client drops, so that a late verdict
// could admit another client. So each attempt counts only for as long as nobody has come by its id or from its address.
//
// It belongs to the broker's thread.
type Table struct {
	byID   map[string]*attempt
	byConn map[broker.Conn]*attempt
}

// NewTable returns an empty Table.
func NewTable() *Table {
	return &Table{byID: map[string]*attempt{}, byConn: map[broker.Conn]*attempt{}}
}

func (t *Table) add(a *attempt) {
	t.byID[a.connect.ClientID] = a
	t.byConn[a.connect.Conn] = a
}

// take removes an attempt; false if it no longer counts.
func (t *Table) take(a *attempt) bool {
	if a == nil || t.byConn[a.connect.Conn] != a {
		return false
	}
	delete(t.byID, a.connect.ClientID)
	delete(t.byConn, a.connect.Conn)
	return true
}

// Gone removes the attempt that came from this address, which now belongs to another connection or to none.
func (t *Table) Gone(conn broker.Conn) { t.take(t.byConn[conn]) }

// DropSuperseded removes the attempts that a login shows to be over: the one from the same address, and the one by the same
// client id, as the broker lets nobody come by an id that is pending. Only when it asks again after a reload is the client
// one that is connected, beside which another may be pending by the same id.
func (t *Table) DropSuperseded(connect broker.Connect, isConnectedAs func(id string, conn broker.Conn) bool) {
	t.Gone(connect.Conn)
	if a := t.byID[connect.ClientID]; a != nil && !isConnectedAs(connect.ClientID, connect.Conn) {
		t.take(a)
	}
}
