package main

import (
	"io"
	"net"
	"runtime"
	"slices"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// answering is a broker by its answer to CONNECT, nil: none, it closes the connection. It passes each PUBLISH on to the one client that
// has subscribed.
type answering struct {
	connack  []byte
	silent   time.Duration             // before connack
	forget   func(publish []byte) bool // that one is not passed on
	listener net.Listener
	logins   atomic.Int32
	listens  chan net.Conn // holds the one that has subscribed
}

func (a *answering) start(t *testing.T) (url string) {
	t.Helper()
	var err error
	if a.listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.listener.Close() })
	a.listens = make(chan net.Conn, 1)
	go func() {
		for {
			c, err := a.listener.Accept()
			if err != nil {
				return
			}
			go a.serve(c)
		}
	}()
	return "mqtt://" + a.listener.Addr().String()
}

func (a *answering) serve(c net.Conn) {
	defer c.Close()
	for head := make([]byte, 2); ; {
		if _, err := io.ReadFull(c, head); err != nil {
			return
		}
		rest := make([]byte, head[1])
		if _, err := io.ReadFull(c, rest); err != nil {
			return
		}
		switch head[0] & 0xf0 {
		case 0x10:
			a.logins.Add(1)
			time.Sleep(a.silent)
			_, _ = c.Write(a.connack)
			if len(a.connack) == 0 || a.connack[3] != 0 {
				return
			}
		case 0x30:
			if packet := slices.Concat(head, rest); a.forget == nil || !a.forget(packet) {
				to := <-a.listens
				_, _ = to.Write(packet)
				a.listens <- to
			}
		case 0x80:
			a.listens <- c
			_, _ = c.Write([]byte{0x90, 3, 0, 1, 0})
		case 0xe0:
			return
		}
	}
}

var connectPacket = []byte{0x10, 12, 0, 4, 'M', 'Q', 'T', 'T', 4, 2, 0, 0, 0, 0}

func always(int) []byte { return connectPacket }

func TestALoadCountsAnswers(t *testing.T) {
	for name, c := range map[string]struct {
		connack []byte
		count   func(tally) int
	}{
		"accepted": {[]byte{0x20, 2, 0, 0}, func(t tally) int { return t.accepted }},
		"refused":  {[]byte{0x20, 2, 0, 5}, func(t tally) int { return t.refused }},
		"closed":   {nil, func(t tally) int { return t.closed }},
	} {
		a := &answering{connack: c.connack}
		got, err := load{url: a.start(t), workers: 3, next: always, window: patient, limit: 20}.run()
		if err != nil || got.attempts != 20 || c.count(got) != 20 || got.errors != 0 || a.logins.Load() != 20 {
			t.Errorf("%s: %+v (%v) of %d logins", name, got, err, a.logins.Load())
		}
		if name != "closed" && len(got.waits) != 20 {
			t.Errorf("%s: %d waits", name, len(got.waits))
		}
	}
}

func TestALoadThatMeetsNobody(t *testing.T) {
	a := &answering{}
	url := a.start(t)
	if err := a.listener.Close(); err != nil {
		t.Fatal(err)
	}
	if got, err := (load{url: url, workers: 1, next: always, window: patient, limit: 1}).run(); err != nil || got.errors != 1 || got.err == nil {
		t.Errorf("%+v (%v)", got, err)
	}
}

// A thread that sleeps while it waits gives up its processor once for each wait.
func TestALoadNeverSleeps(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	a := &answering{connack: []byte{0x20, 2, 0, 0}, silent: 300 * time.Millisecond}
	l := load{url: a.start(t), workers: 1, next: always, window: patient, limit: 1}
	before := timesSlept(t)
	got, err := l.run()
	slept := timesSlept(t) - before
	if err != nil || got.accepted != 1 {
		t.Fatalf("%+v (%v)", got, err)
	}
	if most := int64(a.silent / (10 * time.Millisecond)); slept > most { // Go's scheduler may take the processor away once in 10 ms
		t.Errorf("in %v of silence the load has slept %d times", a.silent, slept)
	}
	if got.idle < a.silent/2 {
		t.Errorf("of %v of silence the load calls %v idle", a.silent, got.idle)
	}
}

// timesSlept is how often this thread has given up its processor.
func timesSlept(t *testing.T) int64 {
	t.Helper()
	const thisThread = 1 // RUSAGE_THREAD
	var r syscall.Rusage
	if err := syscall.Getrusage(thisThread, &r); err != nil {
		t.Fatal(err)
	}
	return r.Nvcsw
}

// testPair connects a pair, outside of any rig.
func testPair(t *testing.T, url string) *pair {
	t.Helper()
	st := &stand{}
	t.Cleanup(st.end)
	return st.pair(st.enter(url, connectPacket), st.enter(url, connectPacket))
}

func TestAPairExchangesMessagesBesideALoad(t *testing.T) {
	third := message(2)
	a := &answering{connack: []byte{0x20, 2, 0, 0}, forget: func(publish []byte) bool { return slices.Equal(publish, third) }}
	url := a.start(t)
	settled := false
	got, err := load{
		url: url, workers: 2, next: always, window: 200 * time.Millisecond,
		pair: testPair(t, url), interval: 10 * time.Millisecond, settle: func() { settled = true },
	}.run()
	if err != nil || got.accepted == 0 || !settled || len(got.messages) < 5 || len(got.messages) > 20 {
		t.Fatalf("%d logins, settled: %v, %d messages (%v)", got.accepted, settled, len(got.messages), err)
	}
	for i, took := range got.messages {
		if gone := took == lost*time.Millisecond; gone != (i == 2) || took <= 0 {
			t.Errorf("message %d took %v", i, took)
		}
	}
}

func TestAPairWithoutALoadLastsForTheWindow(t *testing.T) {
	a := &answering{connack: []byte{0x20, 2, 0, 0}}
	url := a.start(t)
	got, err := load{url: url, window: 100 * time.Millisecond, pair: testPair(t, url), interval: 5 * time.Millisecond}.run()
	if err != nil || got.lasted < 100*time.Millisecond || len(got.messages) < 5 {
		t.Errorf("%d messages in %v (%v)", len(got.messages), got.lasted, err)
	}
}

func TestAPairThatIsParted(t *testing.T) {
	a := &answering{connack: []byte{0x20, 2, 0, 0}}
	url := a.start(t)
	p := testPair(t, url)
	_ = (<-a.listens).Close()
	if got, err := (load{url: url, window: patient, pair: p, interval: 5 * time.Millisecond}).run(); err == nil {
		t.Errorf("%+v", got)
	}
}

func TestClientsThatLeave(t *testing.T) {
	a := &answering{connack: []byte{0x20, 2, 0, 0}}
	url := a.start(t)
	st := &stand{}
	t.Cleanup(st.end)
	in := []int{st.enter(url, connectPacket), st.enter(url, connectPacket)}
	if got, err := (load{url: url, leaving: in, window: 20 * time.Millisecond}).run(); err == nil {
		t.Errorf("clients that stay have left: %+v", got)
	}
	for _, socket := range in {
		if _, err := syscall.Write(socket, []byte{0xe0, 0}); err != nil {
			t.Fatal(err)
		}
	}
	begin := time.Now()
	got, err := load{url: url, leaving: in, window: patient}.run()
	if err != nil || got.allLeft.Before(begin) || got.lasted > patient/2 {
		t.Errorf("%+v (%v)", got, err)
	}
}

// A client that is not answered comes back; one that is refused is not let in.
func TestEntering(t *testing.T) {
	a := &answering{connack: []byte{0x20, 2, 0, 5}}
	st := &stand{}
	st.guard(func() { st.enter(a.start(t), connectPacket) })
	if !st.Failed() || a.logins.Load() != 1 {
		t.Errorf("failed: %v, %d logins", st.Failed(), a.logins.Load())
	}
}
