package once_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go-jwt-auth/plugin/internal/once"
)

// owner keeps what is fetched, as the users of the package do.
type owner struct {
	mu    sync.Mutex
	fetch once.Fetcher[string]
	kept  string
}

func newOwner(get func() (string, error)) *owner {
	o := &owner{}
	o.fetch = once.Fetcher[string]{Lock: &o.mu, Now: time.Now, Get: get, Keep: func(s string) { o.kept = s }}
	return o
}

func (o *owner) join() *once.Fetch {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.fetch.Join()
}

// state is what was kept, and what is known of an outage.
func (o *owner) state() (kept string, underWay bool, outage once.Outage) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.kept, o.fetch.UnderWay() != nil, o.fetch.Outage
}

func TestOneRequestIsForAllWhoWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		requests := 0
		o := newOwner(func() (string, error) {
			requests++
			time.Sleep(time.Minute)
			return "value", nil
		})
		var all sync.WaitGroup
		for range 10 {
			all.Go(func() {
				if f := o.join(); !f.Wait(t.Context()) || f.Err() != nil {
					t.Errorf("got %v", f.Err())
				}
				if kept, underWay, _ := o.state(); kept != "value" || underWay {
					t.Errorf("kept %q, under way: %t", kept, underWay)
				}
			})
		}
		all.Wait()
		if requests != 1 {
			t.Errorf("%d requests", requests)
		}
		if !o.join().Wait(t.Context()) || requests != 2 {
			t.Errorf("%d requests, want another one for those who come later", requests)
		}
	})
}

func TestItGoesOnWithoutThoseWhoHaveLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOwner(func() (string, error) {
			time.Sleep(time.Minute)
			return "value", nil
		})
		ctx, leave := context.WithTimeout(t.Context(), time.Second)
		defer leave()
		if o.join().Wait(ctx) {
			t.Error("nothing was there yet")
		}
		if _, underWay, _ := o.state(); !underWay {
			t.Error("it has ended with its waiter")
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if kept, _, _ := o.state(); kept != "value" {
			t.Errorf("kept %q", kept)
		}
	})
}

func TestAFailureKeepsWhatThereIsAndRests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		answers := make(chan func() (string, error), 1)
		o := newOwner(func() (string, error) { return (<-answers)() })
		gets := func(answer func() (string, error)) error {
			answers <- answer
			f := o.join()
			if !f.Wait(t.Context()) {
				t.Fatal("it did not end")
			}
			return f.Err()
		}
		good := func() (string, error) { return "value", nil }
		if err := gets(good); err != nil {
			t.Fatal(err)
		}
		if err := gets(func() (string, error) { return "", io.EOF }); !errors.Is(err, io.EOF) {
			t.Errorf("got %v", err)
		}
		kept, _, outage := o.state()
		if kept != "value" || !errors.Is(outage.Err, io.EOF) || !outage.Since.Equal(time.Now()) {
			t.Errorf("kept %q, %+v", kept, outage)
		}
		for after, resting := range map[time.Duration]bool{0: true, once.Rest - 1: true, once.Rest: false, -1: false} {
			if got := outage.Resting(time.Now().Add(after)); got != resting {
				t.Errorf("after %s: resting: %t", after, got)
			}
		}
		if err := gets(func() (string, error) { panic("a fault") }); err == nil || !strings.Contains(err.Error(), "a fault") {
			t.Errorf("a panic: %v", err)
		}
		if err := gets(good); err != nil {
			t.Fatal(err)
		}
		if _, _, outage := o.state(); outage.Resting(time.Now()) || outage.Err != nil {
			t.Errorf("after a success: %+v", outage)
		}
	})
}
