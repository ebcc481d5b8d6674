package plugin

// asked are the clients about whom the broker has asked, until they are in or gone: who is in without that was let in past
// this plugin. Only where the broker tells of both (TellsOfConnects).
type asked struct {
	clients map[Client]struct{}
	told    bool
}

// about notes that the broker asks about a client.
func (a *asked) about(c Client) {
	if a.told {
		return
	}
	if a.clients == nil {
		a.clients = map[Client]struct{}{}
	}
	a.clients[c] = struct{}{}
}

func (a *asked) gone(c Client) { delete(a.clients, c) }

// missed tells of a client that is in whether the broker has not asked about it. It is true once.
func (a *asked) missed(c Client) bool {
	_, known := a.clients[c]
	a.gone(c)
	if known || a.told {
		return false
	}
	*a = asked{told: true}
	return true
}
