package model

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"go-jwt-auth/plugin"
	"go-jwt-auth/plugin/broker"
	"go-jwt-auth/plugin/cedalo"
	"go-jwt-auth/plugin/control"
	"go-jwt-auth/plugin/event"
	"go-jwt-auth/plugin/loop"
)

// line is one `plugin` line in mosquitto.conf: an instance of the plugin, with a file of its own, that the clients of its own listener come
// to. It is what its instance sees of the broker.
type line struct {
	*mosquitto
	number int
	plugin *plugin.Plugin
	path   string
	// inForce is the file that the instance has said it goes by, before the one that it went by until tookOver, next the one
	// that it was last told to read, written the one that stands there.
	inForce, before, next, written file
	tookOver                       time.Time
	// readable is false while something else stands there. expected: nothing can keep next from coming into force.
	readable, expected bool

	woken  atomic.Bool
	tickAt time.Time
	// swept is true from SIGHUP to the next Tick. ticked is the moment of the last one.
	swept  bool
	ticked int
	// since is the first callback but TICK; zero: none yet.
	since time.Time
	// authenticates and controls: the instance is registered for enhanced authentications, and for its $CONTROL topic.
	authenticates, controls bool
	// checks: it is registered for checks of access; asked are the connections about which that reach it.
	checks bool
	asked  map[broker.Conn]bool
	// idle: it is, though nobody has rights by it.
	idle bool
	// accepted are the actions that reach it no more.
	accepted map[action]bool
}

func newLine(b *mosquitto, number int, path string, start file) *line {
	return &line{
		mosquitto: b, number: number, path: path, inForce: start, before: start, next: start, written: start, readable: true,
		asked: map[broker.Conn]bool{}, accepted: map[action]bool{},
	}
}

func (l *line) write(text string) {
	if err := os.WriteFile(l.path, []byte(text), 0o600); err != nil {
		panic(err)
	}
}

// name is how the history names it.
func (l *line) name() string {
	if len(l.lines) == 1 {
		return ""
	}
	return fmt.Sprintf("line %d: ", l.number)
}

func (l *line) called() {
	if l.since.IsZero() {
		l.since = time.Now()
	}
}

// others are the lines but this one.
func (l *line) others() []*line {
	return slices.DeleteFunc(slices.Clone(l.lines), func(other *line) bool { return other == l })
}

// told is the line whose instance a client's messages to $CONTROL come to; nil: none. 2.1 has one for all.
func (c *conn) told() *line {
	l := c.line
	if i := slices.IndexFunc(l.lines, func(other *line) bool { return other.controls }); i >= 0 && !l.V20 {
		return l.lines[i]
	}
	if l.controls && !c.Elsewhere {
		return l
	}
	return nil
}

// tick is the instance's part of a round of the broker's loop, which calls it only if it has asked for that.
func (l *line) tick() {
	due := !l.tickAt.IsZero() && !time.Now().Before(l.tickAt)
	if l.NoTicks || (!l.woken.Swap(false) && !due) {
		return
	}
	l.swept = false
	l.ticking = true
	l.plugin.Tick()
	l.ticked = l.mosquitto.rules.moment
	l.ticking = false
}

// touch is a TCP connection without a CONNECT: on 2.0 its end is an event.
func (l *line) touch() {
	c := &conn{line: l, address: l.malloc(), attempt: &attempt{line: l}}
	if l.V20 {
		l.disconnected(c, false)
	}
	l.free(c)
}

// roundTwice lets the broker go round until no address was just freed: those that were freed inside of a Tick are not used before.
func (b *mosquitto) roundTwice() {
	for range 2 {
		time.Sleep(loop.Rest)
		b.settle()
		b.loop()
		b.settle()
	}
}

// Log is broker.Broker's, as all that follows.
func (l *line) Log(_ event.Level, text []byte) {
	l.rules.say("    | %s%s", l.name(), text)
	l.rules.reads(l, string(text))
}

// Control and ExtAuths are not for the inside of the event in question: 2.0 goes through a list then.
func (l *line) Control(topic string, on bool) error {
	if l.telling {
		l.rules.broken("inside of a message to $CONTROL, the plugin was registered or unregistered for %s", topic)
	}
	switch topic {
	case control.Topic:
	case cedalo.InspectTopic, cedalo.ClientControlTopic: // nobody asks there
		return nil
	default:
		l.rules.broken("the plugin was registered or unregistered for %s", topic)
	}
	if on && !l.V20 && slices.ContainsFunc(l.others(), func(other *line) bool { return other.controls }) {
		return broker.ErrTaken
	}
	l.controls = on
	return nil
}

func (l *line) ExtAuths(on bool) error {
	l.authenticates = on
	return nil
}

func (l *line) TickIn(wait time.Duration) { l.tickAt = time.Now().Add(wait) }
func (l *line) Wake()                     { l.woken.Store(true) }

// AskAbout forgets what was accepted.
func (l *line) AskAbout(address broker.Conn, ask bool) {
	delete(l.asked, address)
	for a := range l.accepted {
		if a.address == address {
			delete(l.accepted, a)
		}
	}
	if ask {
		l.asked[address] = true
	}
}

func (l *line) CheckACL(on bool) error {
	if l.checks && !on {
		l.rules.forgetsRights(l)
	}
	l.checks = on
	return nil
}

// second is how providers of the second file are called before an identity provider.
const second = "second-"

// of is the line whose file's provider that is.
func (r *rules) of(a asker) *line {
	if strings.HasPrefix(a.name, second) {
		return r.broker.lines[1]
	}
	return r.broker.lines[0]
}
