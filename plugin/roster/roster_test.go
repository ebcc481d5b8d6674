package roster

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"
	"time"

	"go-jwt-auth/plugin/broker"
)

var began = time.Date(2026, 11, 23, 15, 0, 0, 0, time.UTC)

func ids(r *Roster) (all []string) {
	for c := range r.From(0) {
		all = append(all, c.ID)
	}
	return all
}

// The list is held against a plain slice while clients come and go in any order.
func TestOrder(t *testing.T) {
	r := New(began)
	var want []string
	random := rand.New(rand.NewPCG(1, 2))
	for n := range 30_000 {
		id := fmt.Sprint(random.IntN(3000))
		conn := broker.Conn(random.IntN(4000) + 1)
		switch random.IntN(4) {
		case 0, 1:
			if c := r.Of(conn); c != nil && c.ID != id || c != nil && !c.Connected {
				want = slices.DeleteFunc(want, func(w string) bool { return w == c.ID })
			}
			if c := r.Of(conn); c == nil || c.ID != id || !c.Connected {
				want = append(slices.DeleteFunc(want, func(w string) bool { return w == id }), id)
			}
			r.Came(conn, id, began)
		case 2:
			if c := r.Of(conn); c != nil {
				want = slices.DeleteFunc(want, func(w string) bool { return w == c.ID })
			}
			r.Left(conn, false, began)
		default:
			r.Left(conn, true, began)
		}
		if n%100 == 0 {
			if got := ids(r); !slices.Equal(got, want) || r.Len() != len(want) {
				t.Fatalf("after %d: got %d, want %d", n, len(got), len(want))
			}
			for place, id := range want {
				c := r.At(place)
				if c.ID != id || r.Find(id) != c || r.Of(c.Conn) != c {
					t.Fatalf("place %d: %+v, want %s", place, c, id)
				}
				for next := range r.From(c.Came + 1) {
					if place+1 >= len(want) || next.ID != want[place+1] {
						t.Fatalf("after place %d comes %s", place, next.ID)
					}
					break
				}
			}
			if r.At(len(want)) != nil || r.At(len(want)+chunk) != nil {
				t.Error("there is one more")
			}
			connected := 0
			for c := range r.From(0) {
				if c.Connected {
					connected++
				}
			}
			if connected != r.Connected() {
				t.Fatalf("%d are connected, and it says %d", connected, r.Connected())
			}
			if len(r.order) > 2+len(want)*8/chunk+len(want)/(chunk/8) {
				t.Fatalf("%d chunks for %d", len(r.order), len(want))
			}
		}
	}
}

// A reader who applies each batch of changes has the list, whatever comes between the batches.
func TestChanges(t *testing.T) {
	r := New(began)
	random := rand.New(rand.NewPCG(3, 4))
	seen, at := map[string]bool{}, r.Revision()
	for range 300 {
		for range random.IntN(50) {
			switch id := fmt.Sprint(random.IntN(40)); random.IntN(4) {
			case 0, 1:
				r.Came(broker.Conn(random.IntN(60)+1), id, began)
			case 2:
				r.Left(broker.Conn(random.IntN(60)+1), random.IntN(2) == 0, began)
			default:
				if c := r.Find(id); c != nil {
					r.Touch(c.Conn)
				}
			}
		}
		changes, err := r.Since(at)
		if err != nil {
			t.Fatal(err)
		}
		at = r.Revision()
		for revision, c := range changes {
			if c.Client != nil {
				seen[c.ID] = c.Client.Connected
			} else {
				delete(seen, c.ID)
			}
			if random.IntN(20) == 0 { // the rest comes later
				at = revision
				break
			}
		}
		if at != r.Revision() {
			continue
		}
		if len(seen) != r.Len() {
			t.Fatalf("%d are seen, there are %d", len(seen), r.Len())
		}
		for id, connected := range seen {
			if c := r.Find(id); c == nil || c.Connected != connected {
				t.Fatalf("%s: %+v, seen as connected: %t", id, c, connected)
			}
		}
	}
}

func TestChangesAreRememberedForAWhile(t *testing.T) {
	r := New(began)
	start := r.Revision()
	r.Came(1, "c", began)
	for range MaxChanges - 1 {
		r.Touch(1)
	}
	if _, err := r.Since(start); err != nil {
		t.Errorf("after %d: %s", r.Revision()-start, err)
	}
	r.Touch(1)
	for _, old := range []uint64{start, start - 1, 0, r.Revision() + 1} {
		if _, err := r.Since(old); !errors.Is(err, ErrTooOld) {
			t.Errorf("since %d of %d: %v", old, r.Revision(), err)
		}
	}
	if later := New(began.Add(time.Second)); later.Revision() <= r.Revision() {
		t.Error("one that begins later counts from less")
	}
}

func TestHowTheyCame(t *testing.T) {
	r := New(began)
	r.Judge(1, Judged{ID: "a", Login: Password, Judge: 7})
	if r.Len() != 0 {
		t.Error("one that was judged is in")
	}
	c := r.Came(1, "a", began)
	if c.Login != Password || c.Judge != 7 || c.Since != began.Unix() {
		t.Errorf("%+v", c)
	}
	r.Judge(1, Judged{ID: "a", Login: Token, Judge: 8}) // a verdict that came later
	if c.Login != Token || c.Judge != 8 || c.Changed == c.Came {
		t.Errorf("%+v", c)
	}
	r.Judge(1, Judged{ID: "b", Login: Anonymous})
	if c = r.Came(1, "b", began); c.Login != Anonymous || r.Find("a") != nil {
		t.Errorf("%+v", c)
	}
	r.Judge(2, Judged{ID: "c", Login: Password})
	r.Left(2, false, began)
	if c = r.Came(2, "c", began); c.Login != Unknown {
		t.Errorf("what was judged before it left counts: %+v", c)
	}
	if c = r.Came(3, "c", began); r.Of(2) != nil || r.Len() != 2 {
		t.Error("who was taken over is still there")
	}
	r.Left(3, true, began.Add(time.Minute))
	r.Left(3, true, began.Add(time.Hour))
	if c.Connected || c.Left != began.Add(time.Minute).Unix() {
		t.Errorf("%+v", c)
	}
	r.Left(3, false, began)
	r.Remove(c)
	if r.Len() != 1 {
		t.Errorf("%d are there", r.Len())
	}
}

// On Mosquitto 2.0 whoever was left to others is in if it has not left for a while.
func TestWhoHasNotLeftIsIn(t *testing.T) {
	r := New(began)
	for conn, webSocket := range map[broker.Conn]bool{1: false, 2: false, 3: true} {
		r.Judge(conn, Judged{ID: fmt.Sprint(conn), Login: Password, At: began.Unix()})
		r.Try(conn, webSocket, began)
	}
	r.Left(2, false, began)
	if got := r.SettlesAt(); !got.Equal(began.Add(InAfter)) || r.Settle(began) {
		t.Errorf("settles at %s", got)
	}
	for r.Settle(began.Add(InAfter)) {
	}
	if got := ids(r); !slices.Equal(got, []string{"1"}) || !r.SettlesAt().Equal(began.Add(InAfterLate)) {
		t.Errorf("%q", got)
	}
	for r.Settle(began.Add(InAfterLate)) {
	}
	if got := ids(r); !slices.Equal(got, []string{"1", "3"}) || !r.SettlesAt().IsZero() {
		t.Errorf("%q", got)
	}
}

// mostOfEach is how many bytes a client takes, beside its client id, which is the session's.
const mostOfEach = 256

func TestAClientTakesLittleMemory(t *testing.T) {
	const crowd = 100_000
	names := make([]string, crowd)
	for n := range names {
		names[n] = fmt.Sprintf("a client's id, %08d", n)
	}
	heap := func() uint64 {
		var stats runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&stats)
		return stats.HeapAlloc
	}
	before := heap()
	r := New(began)
	for n, name := range names {
		r.Judge(broker.Conn(n+1), Judged{ID: name, Login: Token})
		r.Came(broker.Conn(n+1), name, began)
	}
	each := (heap() - before) / crowd
	t.Logf("%d bytes a client", each)
	if each > mostOfEach {
		t.Errorf("%d bytes a client, at most %d", each, mostOfEach)
	}
	for n := range names {
		r.Left(broker.Conn(n+1), false, began)
	}
	left := (int64(heap()) - int64(before)) / crowd
	t.Logf("%d bytes after all have left", left)
	runtime.KeepAlive(r)
	runtime.KeepAlive(names)
}

func BenchmarkComeAndGo(b *testing.B) {
	r := New(began)
	names := make([]string, 100_000)
	for n := range names {
		names[n] = fmt.Sprint(n)
		r.Came(broker.Conn(n+1), names[n], began)
	}
	random := rand.New(rand.NewPCG(1, 2))
	for b.Loop() {
		n := random.IntN(len(names))
		r.Left(broker.Conn(n+1), false, began)
		r.Came(broker.Conn(n+1), names[n], began)
	}
}

func BenchmarkPlace(b *testing.B) {
	r := New(began)
	for n := range 100_000 {
		r.Came(broker.Conn(n+1), fmt.Sprint(n), began)
	}
	for b.Loop() {
		r.At(99_000)
	}
}
