package e2e

import (
	"fmt"
	"net/http"
	"sync"
	"syscall"
	"testing"
	"time"

	"go-jwt-auth/idp"
	"go-jwt-auth/test/brokers"
	"go-jwt-auth/test/harness"
)

// bystander is a connected client that pings all the time, to learn when the broker serves nobody.
type bystander struct {
	conn *harness.Raw
	stop chan struct{}
	done sync.WaitGroup

	waits []time.Duration // of each ping; read after ended
	err   error
}

// watch has a client that logs in by password stand by until ended.
func watch(t testing.TB, b *harness.Broker) *bystander {
	t.Helper()
	r, err := harness.Dial(b.URL(0), harness.V311)
	if err != nil {
		t.Fatal(err)
	}
	got, err := r.Connect(harness.Login{ClientID: "bystander", Username: new("operator"), Password: new("operator's password")})
	if err != nil || !got.Accepted() {
		t.Fatalf("the bystander's CONNECT was %v (%v)", got, err)
	}
	s := &bystander{conn: r, stop: make(chan struct{})}
	s.done.Go(func() {
		for {
			select {
			case <-s.stop:
				return
			default:
			}
			began := time.Now()
			if s.err = r.Ping(); s.err != nil {
				return
			}
			s.waits = append(s.waits, time.Since(began))
			time.Sleep(time.Millisecond) // it is not to keep the machine busy
		}
	})
	t.Cleanup(func() { s.ended(t) })
	return s
}

// ended ends the watch and returns how long each ping took. May be called again.
func (s *bystander) ended(t testing.TB) []time.Duration {
	t.Helper()
	select {
	case <-s.stop:
	default:
		close(s.stop)
	}
	s.done.Wait()
	s.conn.Close()
	if s.err != nil {
		t.Errorf("the bystander was lost: %v", s.err)
		s.err = nil
	}
	return s.waits
}

// longerThan counts the pings that took longer.
func longerThan(limit time.Duration, waits []time.Duration) (n int) {
	for _, wait := range waits {
		if wait > limit {
			n++
		}
	}
	return n
}

// A client that brings a new kid each time has the key set fetched, which never answers: Mosquitto 2.0 waits for that once,
// and not once for each kid.
func TestUnknownKidsDoNotHoldTheBrokerWhileTheKeySetHangs(t *testing.T) {
	const block, logins = 2 * time.Second, 15
	brokers.EachInParallel(t, func(t *testing.T, v brokers.Version) {
		p := ownProvider(t)
		b := start(t, v, config(t, p, object{
			"options.revocation":             nil,
			"options.modes.jwks.timeoutMs":   300_000, // one fetch for the whole test
			"options.modes.jwks.cache.ttlMs": 600_000,
			"options.modes.jwks.maxBlockMs":  block.Milliseconds(),
		}))
		t.Cleanup(p.Hold(idp.JWKS))
		s := watch(t, b)
		for n := range logins {
			token := p.Token("sensor-1", time.Hour, idp.Header("kid", fmt.Sprint("new-", n)))
			if got := knock(t, b, harness.V5, login("c", token)); got.Accepted() {
				t.Errorf("CONNECT was %v", got)
			}
		}
		// Of a machine that is busy some more are forgiven.
		if got := longerThan(block/2, s.ended(t)); got > logins/3 {
			t.Errorf("the broker was held %d times by %d logins, want once", got, logins)
		}
		// Who has a key that is known is served all the while.
		if got := knock(t, b, harness.V5, login("good", p.Token("sensor-1", time.Hour))); !got.Accepted() {
			t.Errorf("a known key: CONNECT was %v", got)
		}
	})
}

// An endpoint that has failed is tried again by one request, for which Mosquitto 2.0 does not wait.
func TestTheTrialOfAFailedEndpointHoldsNobody(t *testing.T) {
	const timeout = 8 * time.Second
	brokers.EachInParallel(t, func(t *testing.T, v brokers.Version) {
		p := ownProvider(t)
		b := start(t, v, config(t, p, object{
			"options.modes.jwks.cache.ttlMs": 600_000, "options.revocation.timeoutMs": timeout.Milliseconds(),
		}))
		l := login("c", p.Token("sensor-1", time.Hour))
		p.SetAnswer(idp.Introspect, &idp.Answer{Status: http.StatusInternalServerError})
		for range 5 {
			if got := knock(t, b, harness.V5, l); got.Accepted() {
				t.Errorf("CONNECT was %v", got)
			}
		}
		b.WaitLog(`introspection endpoint: 5 requests in a row brought no usable answer`)
		t.Cleanup(p.Hold(idp.Introspect))
		before := p.Requests(idp.Introspect)
		s := watch(t, b)
		// The trial's own login may wait for it, where that holds nobody else.
		var trials sync.WaitGroup
		for deadline := time.Now().Add(harness.Patience); p.Requests(idp.Introspect) == before; time.Sleep(50 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatal("the endpoint is not tried again")
			}
			trials.Go(func() {
				if got, err := harness.Knock(b.URL(0), harness.V5, login(fmt.Sprint("c", time.Now().UnixNano()), *l.Password)); err == nil && got.Accepted() {
					t.Errorf("CONNECT was %v", got)
				}
			})
		}
		// All pings from now on are answered while the trial hangs.
		for range 20 {
			c := harness.Connect(t, b.URL(0), harness.Paho5, harness.Login{ClientID: "d", Username: new("operator"), Password: new("operator's password")})
			c.Accepted().Disconnect()
		}
		if got := longerThan(timeout/2, s.ended(t)); got > 0 {
			t.Errorf("the broker was held %d times for as long as the endpoint takes", got)
		}
		trials.Wait()
	})
}

// manyFiles skips the case where this process may not have so many connections.
func manyFiles(t testing.TB, files int) {
	t.Helper()
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil || limit.Max < uint64(files)+1000 {
		t.Skipf("NOT TESTED: this needs %d open files, the limit is %d (%v)", files+1000, limit.Max, err)
	}
}

// gather connects clients by one token, as many as get in before it ends, and returns them.
func gather(t testing.TB, b *harness.Broker, token string, size int) []*harness.Raw {
	t.Helper()
	ends := expiryOf(t, token)
	var all []*harness.Raw
	for n := range size {
		r, err := harness.Dial(b.URL(0), harness.V5)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(r.Close)
		got, err := r.Connect(login(fmt.Sprint("c", n), token))
		if err == nil && !got.Accepted() && time.Now().After(ends) {
			break
		}
		if err != nil || !got.Accepted() {
			t.Fatalf("client %d: CONNECT was %v (%v)", n, got, err)
		}
		all = append(all, r)
	}
	return all
}

// Whoever's time ends in the same second leaves, however many they are, and a bystander stays. `make bench` tells how long that
// holds the broker.
func TestAThousandThatEndTogetherAreAllGone(t *testing.T) {
	const clients = 1000
	manyFiles(t, 3*clients)
	p := provider(t)
	brokers.EachInParallel(t, func(t *testing.T, v brokers.Version) {
		b := start(t, v, config(t, p, object{"options.revocation": nil, "options.modes.jwks.cache.ttlMs": 600_000}))
		b.RaiseFileLimit(clients + 1000)
		watch(t, b)
		all := gather(t, b, p.Token("sensor-1", 10*time.Second), clients)
		for i, r := range all {
			if left, err := r.WaitDisconnect(); err != nil || left.Code != 0x98 {
				t.Fatalf("client %d of %d: %v (%v), want 0x98", i, len(all), left, err)
			}
		}
	})
}
