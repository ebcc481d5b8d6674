package main

import (
	"syscall"
	"time"

	"go-jwt-auth/test/brokers"
	"go-jwt-auth/test/harness"
)

// partEndings is what happens when the tokens of many clients end in one second: how long a pair of others waits, and how long
// it takes until all are gone.
const partEndings = "endings"

// Its metrics.
const (
	longestWait metric = "pair's longest wait, ms"
	untilGone   metric = "until all are gone, ms"
	perClient   metric = "memory of a connected client, kB"
)

const (
	manyEndings  = 10_000
	quickEndings = 2_000
	allTogether  = "tokens end in one second"
)

func (r *rig) endings(v brokers.Version) trial {
	return trial{version: v.Name, part: partEndings, name: allTogether, run: func(st *stand) sample { return r.endTogether(st, v) }}
}

func (r *rig) endTogether(st *stand, v brokers.Version) sample {
	size := manyEndings
	if r.quick {
		size = quickEndings
	}
	st.mayOpen(size + 200)
	b := r.broker(st, v, r.ours(r.config(r.cachedKeys(), nil)))
	b.RaiseFileLimit(size + 200)
	both := r.pair(st, b.URL(0))
	alone, err := residentMB(b.PID())
	st.must(err)

	// Long enough for all to log in on a machine twice as slow as a slow one.
	ends := time.Now().Add(4*time.Second + time.Duration(size)*500*time.Microsecond).Truncate(time.Second)
	token := r.keys.byAlg[eddsa].sign(0, ends)
	in := st.fill(b.URL(0), token, size, time.Until(ends))
	crowded, err := residentMB(b.PID())
	st.must(err)

	time.Sleep(time.Until(ends.Add(-time.Second / 2))) // what the logins do to the pair is another matter
	gone, err := load{url: b.URL(0), pair: both, interval: time.Millisecond, leaving: in, window: time.Until(ends.Add(harness.Patience))}.run()
	st.must(err)
	return sample{
		longestWait: percentile(gone.messages, 100), untilGone: ms(gone.allLeft.Sub(ends)), perClient: (crowded - alone) * 1e3 / float64(size),
	}
}

// mayOpen fails the trial if this process, or what it starts, may not have so many connections.
func (st *stand) mayOpen(files int) {
	var limit syscall.Rlimit
	st.must(syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit))
	if limit.Cur < uint64(files) {
		st.Fatalf("bench: %d open files are needed and %d allowed: ulimit -n", files, limit.Cur)
	}
}
