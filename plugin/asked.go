package plugin

import "go-jwt-auth/plugin/broker"

// asked are the clients about whom the broker has asked, until they are in or gone: who is in without that was let in past
// this plugin. Only if the broker tells of both (TellsOfConnects).
type asked struct {
	clients map[broker.Conn]struct{}
	told    bool
}

// about notes that the broker asks about a client.
func (a *asked) about(c broker.Conn) {
	if a.told {
		return
	}
	if a.clients == nil {
		a.clients = map[broker.Conn]struct{}{}
	}
	a.clients[c] = struct{}{}
}

func (a *asked) gone(c broker.Conn) { delete(a.clients, c) }

// missed tells of a client that is in whether the broker has not asked about it. It is true once.
func (a *asked) missed(c broker.Conn) bool {
	_, known := a.clients[c]
	a.gone(c)
	if known || a.told {
		return false
	}
	*a = asked{told: true}
	return true
}
