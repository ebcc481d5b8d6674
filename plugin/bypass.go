package plugin

import "go-jwt-auth/plugin/broker"

// bypass notices a client that was let in past this plugin: one that is in, and about which the broker has not asked. It holds those
// that were asked about, until they are in or gone. Only if the broker tells of both (TellsOfConnects).
type bypass struct {
	clients map[broker.Conn]struct{}
	told    bool
}

// asked notes that the broker asks about a client.
func (b *bypass) asked(c broker.Conn) {
	if b.told {
		return
	}
	if b.clients == nil {
		b.clients = map[broker.Conn]struct{}{}
	}
	b.clients[c] = struct{}{}
}

func (b *bypass) gone(c broker.Conn) { delete(b.clients, c) }

// missed tells of a client that is in whether the broker has not asked about it. It is true once.
func (b *bypass) missed(c broker.Conn) bool {
	_, known := b.clients[c]
	b.gone(c)
	if known || b.told {
		return false
	}
	*b = bypass{told: true}
	return true
}
