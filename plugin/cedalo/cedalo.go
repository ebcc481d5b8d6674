// Package cedalo answers the commands by which Cedalo's Management Center, the free one included, shows a broker's clients and disconnects
// one: those of its commercial broker's plugins "client inspect" and "client control", in their form
// (https://docs.cedalo.com/asyncapi/2.8/client-inspect and client-control). They are for admins alone.
//
// It is no more strict than they are, as the form is theirs: members that it does not know count for nothing. It belongs to the broker's
// thread.
package cedalo

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"go-jwt-auth/plugin/admin"
	"go-jwt-auth/plugin/control"
	"go-jwt-auth/plugin/roster"
	"go-jwt-auth/plugin/verdict"
)

// The topics that the Management Center publishes to.
const (
	InspectTopic       = "$CONTROL/cedalo/inspect/v1"
	ClientControlTopic = "$CONTROL/cedalo/client-control/v1"
)

// Anonymous stands for the username of a client that has none.
const Anonymous = "<anonymous>"

// Bounds of an answer. The Management Center asks for all clients at once; who asks by count and offset gets the rest.
const (
	// MaxClients are those of one list.
	MaxClients = 10_000
	// MaxBytes is how long it may become, but for its last entry: a client id alone may have 65,535 bytes.
	MaxBytes = 8 << 20
	// MaxLists is how many are made at once. Whoever comes then is told to come later.
	MaxLists = 4
)

// Client is one, by their names. What is not known is left out: of a broker 2.0, most of one that is away.
type Client struct {
	ClientID string `json:"clientid"`
	// Username is never left out: the Management Center's page ends at a client without. Anonymous has none; empty: it is not known.
	Username string `json:"username"`
	Address  string `json:"address,omitempty"`
	// Protocol is "MQTT" or "MQTT-WS", and ProtocolVersion "v3.1", "v3.1.1" or "v5".
	Protocol        string `json:"protocol,omitempty"`
	ProtocolVersion string `json:"protocolVersion,omitempty"`
	Subscriptions   *int   `json:"numSubscriptions,omitempty"`
	Connected       bool   `json:"connected"`
	// LastConnect and LastDisconnect are in ms since 1970.
	LastConnect    int64 `json:"lastConnect,omitempty"`
	LastDisconnect int64 `json:"lastDisconnect,omitempty"`
	// KeepAlive is in seconds.
	KeepAlive    *uint16   `json:"keepalive,omitempty"`
	CleanSession *bool     `json:"cleanSession,omitempty"`
	Listener     *Listener `json:"listener,omitempty"`
}

// Listener is the one that a client is connected to.
type Listener struct {
	Port uint16 `json:"port"`
}

// What those who ask are told.
var (
	errNotFound = errors.New("Client not found") // their text
	errBusy     = errors.New("too many requests")
)

// Cedalo has the commands.
type Cedalo struct {
	Admins *admin.Admins
	// lists is how many are being made.
	lists int
}

// Inspect are the commands of InspectTopic.
func (c *Cedalo) Inspect() map[string]control.Command {
	return map[string]control.Command{
		"listClients": c.Admins.Command(false, c.listClients),
		"getClient":   c.Admins.Command(false, getClient),
	}
}

// ClientControl are the commands of ClientControlTopic.
func (c *Cedalo) ClientControl() map[string]control.Command {
	return map[string]control.Command{"disconnectClient": c.Admins.Command(true, disconnectClient)}
}

// listClients {verbose, count, offset} lists clients in the order in which they came: count of them (-1: all that an answer may have), from
// place offset on; their ids alone, unless verbose is true.
func (c *Cedalo) listClients(call *admin.Call) {
	count, err := number(call, "count", -1)
	offset, wrong := number(call, "offset", 0)
	verbose, _ := call.Members["verbose"].(bool)
	if err = errors.Join(err, wrong); err == nil && c.lists >= MaxLists {
		err = errBusy
	}
	if err != nil {
		call.Done("", nil, err)
		return
	}
	if count < 0 || count > MaxClients {
		count = MaxClients
	}
	c.lists++
	call.OnDone(func() { c.lists-- })
	var b bytes.Buffer
	b.WriteString(`{"clients":[`)
	n := 0
	call.List(fmt.Sprintf("from %d on", max(offset, 0)), max(offset, 0), func(one *roster.Client, v admin.View) (enough bool) {
		if n == count {
			return true
		}
		if n > 0 {
			b.WriteByte(',')
		}
		n++
		if verbose {
			write(&b, clientOf(one, v))
		} else {
			write(&b, admin.Shown(one.ID, one.Secret))
		}
		return n == count || b.Len() >= MaxBytes
	}, func(total int) (what string, data any) {
		fmt.Fprintf(&b, `],"totalCount":%d}`, total)
		return fmt.Sprintf("%d of %d clients", n, total), control.Raw(b.Bytes())
	})
}

func write(to *bytes.Buffer, value any) {
	encoder := json.NewEncoder(to)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		panic(err) // of what JSON has
	}
	to.Truncate(to.Len() - len("\n"))
}

// getClient {clientid} tells of one.
func getClient(call *admin.Call) {
	id, err := clientID(call)
	if err != nil {
		call.Done("", nil, err)
		return
	}
	one, v, found := call.Find(id)
	if !found {
		call.Done("of client "+verdict.Quote(id), nil, errNotFound)
		return
	}
	c := clientOf(one, v)
	call.Done("of client "+verdict.Quote(admin.Shown(id, one.Secret)), struct {
		Client
		// Same is for those who read it as an answer of dynamic-security; the Management Center takes the data itself for the client.
		Same Client `json:"client"`
	}{c, c}, nil)
}

// disconnectClient {clientid} disconnects one.
func disconnectClient(call *admin.Call) {
	id, err := clientID(call)
	if err != nil {
		call.Done("", nil, err)
		return
	}
	one, _, found := call.Find(id)
	if !found || !one.Connected {
		call.Done("client "+verdict.Quote(id), nil, errNotFound)
		return
	}
	call.Disconnect(one)
	call.Done("client "+verdict.Quote(admin.Shown(id, one.Secret)), struct{}{}, nil)
}

// clientOf tells of a client in their words.
func clientOf(one *roster.Client, v admin.View) Client {
	info := v.Info
	c := Client{
		ClientID: admin.Shown(one.ID, one.Secret), Address: info.Address, Connected: one.Connected, LastConnect: one.Since * 1000,
		LastDisconnect: one.Left * 1000, Protocol: "MQTT",
	}
	if info.Version == 0 { // the broker could not be asked
		return c
	}
	c.Username = Anonymous
	if name := info.Username; name != nil {
		c.Username = admin.ShownName(*name, one, v)
	}
	if info.WebSocket {
		c.Protocol = "MQTT-WS"
	}
	c.ProtocolVersion = admin.VersionOf(info.Version)
	c.Subscriptions, c.KeepAlive, c.CleanSession = &info.Subscriptions, &info.KeepAlive, &info.CleanStart
	if info.Port != 0 {
		c.Listener = &Listener{info.Port}
	}
	return c
}

func clientID(call *admin.Call) (string, error) {
	id, isString := call.Members["clientid"].(string)
	if !isString {
		return "", errors.New(`"clientid" must be there, and a string`)
	}
	return id, nil
}

// number is a member that is an integer; otherwise, if there is none.
func number(call *admin.Call, name string, otherwise int) (int, error) {
	value, given := call.Members[name]
	if !given {
		return otherwise, nil
	}
	text, _ := value.(json.Number)
	n, err := strconv.ParseInt(text.String(), 10, 32)
	if err != nil {
		return 0, fmt.Errorf("%q must be an integer", name)
	}
	return int(n), nil
}
