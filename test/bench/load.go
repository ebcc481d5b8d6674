package main

import (
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// retryPause is how long a client waits after the broker closed the connection without an answer, as with onRetry. No client
// spins on a failure.
const retryPause = 50 * time.Millisecond

// grace is how long the logins that are under way at the end are waited for.
const grace = 100 * time.Millisecond

// load is a closed loop of logins: each worker connects, leaves as soon as it is let in, and connects again. Beside them a pair may
// exchange messages, and clients that are in may be waited for until they are gone.
//
// One thread serves all of them, on sockets and bytes. It never sleeps: a broker that has to wake who waits for its answer would pay for
// that, which one that is faster than the load would not. Beside a pair, where it is not counted what the broker spends, it does sleep:
// else no processor would ever look free to those who are in the broker's way, such as the plugin's own threads.
type load struct {
	url     string
	workers int
	next    func(worker int) []byte // the CONNECT of a worker's next login; nil: there are no more
	window  time.Duration           // no login begins and no message is sent after it
	limit   int                     // no more logins than that, 0: any number
	patient bool                    // pause after a refusal, too
	stay    bool                    // who is let in stays; see tally.in

	pair     *pair         // nil: there is none
	interval time.Duration // from one message of the pair to the next
	settle   func()        // what is to be done before the pair's last messages are waited for; nil: nothing
	leaving  []int         // sockets of clients that the broker is to disconnect within window; all is over when it has

	rate int       // logins begun a second, whatever has become of those before, while there are workers; 0: as many as there can be
	from [][4]byte // addresses of this machine that the clients come from, in turn, as one has but 28,000 ports; nil: any
}

// tally is what became of the logins.
type tally struct {
	attempts int // CONNECT sent
	accepted int
	refused  int           // by CONNACK
	closed   int           // by the broker, without CONNACK
	errors   int           // there was no connection, or no CONNECT could be sent
	err      error         // the last one of these
	lasted   time.Duration // from the first login's begin to the last one's end
	idle     time.Duration // of it, there was nothing to do for this thread
	waits    []time.Duration
	in       []int           // with stay: sockets, which the caller closes
	messages []time.Duration // how long each of the pair's took, or lost
	allLeft  time.Time       // when the last one of leaving was found disconnected
}

// perSecond is a number as a rate.
func (t *tally) perSecond(n int) float64 {
	if t.lasted == 0 {
		return 0
	}
	return float64(n) / t.lasted.Seconds()
}

// worker is one client. Its socket is -1 while there is none.
type worker struct {
	socket  int
	connect []byte // not sent yet
	began   time.Time
	got     int     // bytes of CONNACK
	connack [4]byte // its beginning (MQTT 3.1.1 §3.2, MQTT 5 §3.2)
}

// run has the workers log in.
func (l load) run() (t tally, err error) {
	broker, err := netip.ParseAddrPort(strings.TrimPrefix(l.url, "mqtt://"))
	if err != nil {
		return t, fmt.Errorf("bench: %w", err)
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	poll, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	if err != nil {
		return t, fmt.Errorf("bench: %w", err)
	}
	defer syscall.Close(poll) //nolint:errcheck // nothing depends on how it ends
	g := generator{load: l, tally: &t, poll: poll, broker: syscall.SockaddrInet4{Addr: broker.Addr().As4(), Port: int(broker.Port())}}
	return t, g.run()
}

// generator is a load under way.
type generator struct {
	load
	*tally

	poll    int // epoll's descriptor; what it says of a socket is the number of a worker, of one of leaving behind them, or thePair
	broker  syscall.SockaddrInet4
	events  [256]syscall.EpollEvent
	all     []worker
	ready   []int   // workers that may begin now
	pausing []pause // in the order in which they end
	active  int
	started int
	left    int       // of leaving
	now     time.Time // when the events under way came
}

// thePair is the number of the pair's subscriber.
const thePair = -1

// pause is a worker's that goes on later.
type pause struct {
	worker int
	until  time.Time
}

func (g *generator) run() error {
	g.all = make([]worker, g.workers)
	for w := range g.all {
		g.all[w].socket = -1
		g.ready = append(g.ready, w)
	}
	for i, s := range g.leaving {
		if err := g.watch(s, g.workers+i, syscall.EPOLLIN); err != nil {
			return err
		}
	}
	if g.pair != nil {
		if err := g.watch(g.pair.subscriber, thePair, syscall.EPOLLIN); err != nil {
			return err
		}
	}
	begin := time.Now()
	g.now = begin
	end := begin.Add(g.window)
	for due := begin; ; {
		for len(g.pausing) > 0 && !g.pausing[0].until.After(g.now) {
			g.ready = append(g.ready, g.pausing[0].worker)
			g.pausing = g.pausing[1:]
		}
		begins := g.due(begin)
		for _, w := range g.ready[:begins] {
			g.start(w, end)
		}
		g.ready = append(g.ready[:0], g.ready[begins:]...)
		if g.over(end) {
			break
		}
		if g.pair != nil && !g.now.Before(due) && g.now.Before(end) {
			g.pair.send()
			due = due.Add(g.interval)
		}
		if err := g.serve(); err != nil {
			return err
		}
	}
	g.lasted = g.now.Sub(begin)
	for w := range g.all {
		if g.all[w].socket >= 0 {
			_ = syscall.Close(g.all[w].socket) // what they were waiting for does not count
		}
	}
	if g.left < len(g.leaving) {
		return fmt.Errorf("bench: %d clients are still there after %v", len(g.leaving)-g.left, g.lasted)
	}
	return g.part()
}

// over tells whether all that was to be done has been.
func (g *generator) over(end time.Time) bool {
	switch {
	case g.leaving != nil:
		return g.left == len(g.leaving) || g.now.After(end)
	case g.pair != nil && g.now.Before(end):
		return false
	}
	return g.active == 0 && len(g.pausing) == 0 && (g.rate == 0 || g.now.After(end)) || g.now.After(end.Add(grace))
}

// part waits for the pair's messages that are still under way.
func (g *generator) part() error {
	if g.pair == nil {
		return nil
	}
	if g.settle != nil {
		g.settle()
	}
	g.pair.sendLast()
	for deadline := time.Now().Add(patient); !g.pair.done; {
		if err := g.serve(); err != nil {
			return err
		}
		if g.now.After(deadline) {
			return fmt.Errorf("bench: the pair's last message has not come within %v", patient)
		}
	}
	g.messages = g.pair.took
	return nil
}

// serve goes on with all sockets that are ready.
func (g *generator) serve() error {
	wait := 0 // ms
	if g.pair != nil {
		wait = 1
	}
	n, err := syscall.EpollWait(g.poll, g.events[:], wait)
	now := time.Now()
	if n == 0 {
		g.idle += now.Sub(g.now)
	}
	g.now = now
	if err != nil && !errors.Is(err, syscall.EINTR) {
		return fmt.Errorf("bench: epoll: %w", err)
	}
	for _, e := range g.events[:max(n, 0)] {
		switch who := int(e.Fd); {
		case who == thePair:
			err = g.pair.receive(g.now)
		case who < g.workers:
			g.step(who)
		default:
			err = g.leave(g.leaving[who-g.workers])
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// watch has serve go on with a socket under a number, once it is ready.
func (g *generator) watch(socket, number int, interest uint32) error {
	if err := syscall.EpollCtl(g.poll, syscall.EPOLL_CTL_ADD, socket, &syscall.EpollEvent{Events: interest, Fd: int32(number)}); err != nil {
		return fmt.Errorf("bench: epoll: %w", err)
	}
	return nil
}

// leave is for one of leaving whose socket is ready.
func (g *generator) leave(socket int) error {
	var buffer [256]byte
	if n, err := syscall.Read(socket, buffer[:]); n > 0 || errors.Is(err, syscall.EAGAIN) {
		return nil // DISCONNECT
	}
	g.left++
	g.allLeft = g.now
	if err := syscall.EpollCtl(g.poll, syscall.EPOLL_CTL_DEL, socket, nil); err != nil {
		return fmt.Errorf("bench: epoll: %w", err)
	}
	return nil
}

// due is how many of ready may begin.
func (g *generator) due(begin time.Time) int {
	if g.rate == 0 {
		return len(g.ready)
	}
	return max(0, min(len(g.ready), int(g.now.Sub(begin).Seconds()*float64(g.rate))-g.started))
}

// start begins a worker's next login, if there is to be one.
func (g *generator) start(w int, end time.Time) {
	if g.now.After(end) || g.limit > 0 && g.started == g.limit {
		return
	}
	connect := g.next(w)
	if connect == nil {
		return
	}
	g.started++
	c := &g.all[w]
	*c = worker{socket: -1, connect: connect, began: time.Now()}
	var err error
	c.socket, err = syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		c.socket = -1
		g.fail(w, err)
		return
	}
	g.active++
	if err := g.bind(c.socket); err != nil {
		g.fail(w, err)
		return
	}
	interest := uint32(syscall.EPOLLIN)
	switch err = syscall.Connect(c.socket, &g.broker); {
	case err == nil: // over loopback it is always so, but where the broker's backlog is full
		g.send(w)
	case errors.Is(err, syscall.EINPROGRESS):
		interest = syscall.EPOLLOUT
	default:
		g.fail(w, err)
	}
	if c.socket < 0 {
		return
	}
	if err := g.watch(c.socket, w, interest); err != nil {
		g.fail(w, err)
	}
}

// bind has a connection come from the next of the addresses, and from a port that is chosen when it is known where to.
func (g *generator) bind(socket int) error {
	if len(g.from) == 0 {
		return nil
	}
	const addressNoPort = 24 // IP_BIND_ADDRESS_NO_PORT
	if err := syscall.SetsockoptInt(socket, syscall.IPPROTO_IP, addressNoPort, 1); err != nil {
		return err
	}
	return syscall.Bind(socket, &syscall.SockaddrInet4{Addr: g.from[g.started%len(g.from)]})
}

// send sends CONNECT.
func (g *generator) send(w int) {
	c := &g.all[w]
	n, err := syscall.Write(c.socket, c.connect)
	if err == nil && n < len(c.connect) {
		err = fmt.Errorf("only %d of %d bytes of CONNECT were sent", n, len(c.connect))
	}
	if err != nil {
		g.fail(w, err)
		return
	}
	c.connect = nil
	g.attempts++
}

// step goes on with a worker whose socket is ready.
func (g *generator) step(w int) {
	c := &g.all[w]
	if c.socket < 0 {
		return
	}
	if c.connect != nil { // the connection is there, or has failed
		if err := syscall.EpollCtl(g.poll, syscall.EPOLL_CTL_MOD, c.socket, &syscall.EpollEvent{Events: syscall.EPOLLIN, Fd: int32(w)}); err != nil {
			g.fail(w, err)
			return
		}
		g.send(w)
		return
	}
	var buffer [256]byte
	n, err := syscall.Read(c.socket, buffer[:])
	switch {
	case errors.Is(err, syscall.EAGAIN):
	case err != nil || n == 0: // the broker's end, which is what a client waits for that has been answered
		g.end(w)
	case c.got < len(c.connack):
		c.got += copy(c.connack[c.got:], buffer[:n])
		if c.got == len(c.connack) {
			g.answered(w)
		}
	}
}

// answered takes CONNACK's code.
func (g *generator) answered(w int) {
	c := &g.all[w]
	g.waits = append(g.waits, g.now.Sub(c.began))
	switch {
	case c.connack[0] != 0x20 || c.connack[3] != 0:
		g.refused++ // the broker closes the connection
	case g.stay:
		g.accepted++
		g.in = append(g.in, c.socket)
		// Else what it sends would wait for the acknowledgement of what it has sent before, up to 40 ms.
		err := syscall.SetsockoptInt(c.socket, syscall.IPPROTO_TCP, syscall.TCP_NODELAY, 1)
		if err := errors.Join(err, syscall.EpollCtl(g.poll, syscall.EPOLL_CTL_DEL, c.socket, nil)); err != nil {
			g.errors++
			g.err = err
		}
		c.socket = -1
		g.active--
		g.ready = append(g.ready, w)
	default:
		g.accepted++
		_, _ = syscall.Write(c.socket, []byte{0xe0, 0}) // DISCONNECT; then the broker closes, if it has not
	}
}

// end closes a connection that the broker has closed, in a way that leaves nothing of it in TIME_WAIT: else the storm would use up
// all local ports within seconds, and what was measured from then on would be the kernel's search for a free one.
func (g *generator) end(w int) {
	c := &g.all[w]
	_ = syscall.SetsockoptLinger(c.socket, syscall.SOL_SOCKET, syscall.SO_LINGER, &syscall.Linger{Onoff: 1}) // without it, there are some ports fewer for a minute
	_ = syscall.Close(c.socket)
	c.socket = -1
	g.active--
	answered := c.got == len(c.connack)
	if !answered {
		g.closed++
	}
	if answered && (c.connack[3] == 0 || !g.patient) {
		g.ready = append(g.ready, w)
		return
	}
	g.pausing = append(g.pausing, pause{w, g.now.Add(retryPause)})
}

// fail is for what keeps a worker from sending CONNECT.
func (g *generator) fail(w int, err error) {
	c := &g.all[w]
	g.errors++
	g.err = err
	if c.socket >= 0 {
		_ = syscall.Close(c.socket)
		c.socket = -1
		g.active--
	}
	g.pausing = append(g.pausing, pause{w, g.now.Add(retryPause)})
}
