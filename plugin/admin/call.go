package admin

import (
	"go-jwt-auth/plugin/control"
	"go-jwt-auth/plugin/roster"
	"go-jwt-auth/plugin/verdict"
)

// Call is a command of an admin that has another form than those of this package: see Command.
type Call struct {
	control.Request
	admins *Admins
	call   *call
}

// Command is one for admins alone, as those of this package are: with their limit, and told of. do ends with Done, or has List end.
func (a *Admins) Command(changes bool, do func(*Call)) control.Command {
	return func(r control.Request, done func(control.Answer)) {
		a.Do(r, changes, done, func(c *call) { do(&Call{r, a, c}) })
	}
}

// Done answers. what says in short what was to be done, and what came of it.
func (c *Call) Done(what string, data any, err error) { c.call.done(what, data, err) }

// OnDone has do called before the answer.
func (c *Call) OnDone(do func()) {
	done := c.call.done
	c.call.done = func(what string, data any, err error) {
		do()
		done(what, data, err)
	}
}

// List shows clients to f, in the order in which they came, from a place on, until it returns true; piece by piece, while others come and go.
// Then it answers with what end returns of how many there are. what is said if it comes to nothing.
func (c *Call) List(what string, place int, f func(*roster.Client, View) (enough bool), end func(total int) (what string, data any)) {
	list := c.call.watched.Roster
	next := list.Revision() + 1 // at which nobody came
	if first := list.At(place); first != nil {
		next = first.Came
	}
	c.admins.run(c.call, what, func() bool {
		var enough bool
		if next, enough = c.admins.look(list, next, f); next != 0 && !enough {
			return false
		}
		what, data := end(list.Len())
		c.Done(what, data, nil)
		return true
	})
}

// Find is the client by a client id; false: there is none.
func (c *Call) Find(id string) (*roster.Client, View, bool) {
	client := c.call.watched.Roster.Find(id)
	if client == nil {
		return nil, View{}, false
	}
	v, there := c.admins.View(client)
	if !there {
		c.call.watched.Roster.Remove(client)
	}
	return client, v, there
}

// Disconnect has a client disconnected soon that Find has found.
func (c *Call) Disconnect(client *roster.Client) {
	c.admins.Disconnect(client, string(verdict.ByAdmin)+": "+verdict.Quote(c.call.who.Name))
}
