package main

import (
	"fmt"
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
	gone := make(chan error, 1)
	var lastGone time.Time
	go func() {
		var err error
		lastGone, err = waitGone(in, ends.Add(harness.Patience))
		gone <- err
	}()
	var leaving error
	isOver := func() bool {
		select {
		case leaving = <-gone:
			return true
		default:
			return false
		}
	}
	latencies, err := both.exchange(time.Millisecond, isOver, func() {})
	st.must(leaving)
	st.must(err)
	return sample{
		longestWait: percentile(latencies, 100), untilGone: ms(lastGone.Sub(ends)), perClient: (crowded - alone) * 1e3 / float64(size),
	}
}

// waitGone waits until the broker has closed all these connections, and returns when the last one was found closed.
func waitGone(sockets []int, deadline time.Time) (at time.Time, err error) {
	poll, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	if err != nil {
		return at, fmt.Errorf("bench: %w", err)
	}
	defer syscall.Close(poll) //nolint:errcheck // nothing depends on how it ends
	for _, s := range sockets {
		if err := syscall.EpollCtl(poll, syscall.EPOLL_CTL_ADD, s, &syscall.EpollEvent{Events: syscall.EPOLLIN, Fd: int32(s)}); err != nil {
			return at, fmt.Errorf("bench: epoll: %w", err)
		}
	}
	events, buffer := make([]syscall.EpollEvent, 256), make([]byte, 256)
	for left := len(sockets); left > 0; {
		n, err := syscall.EpollWait(poll, events, 100)
		if err != nil && err != syscall.EINTR {
			return at, fmt.Errorf("bench: epoll: %w", err)
		}
		at = time.Now()
		if at.After(deadline) {
			return at, fmt.Errorf("bench: %d clients are still there %v after their token's end", left, harness.Patience)
		}
		for _, e := range events[:max(n, 0)] {
			if n, err := syscall.Read(int(e.Fd), buffer); n > 0 || err == syscall.EAGAIN {
				continue // DISCONNECT
			}
			left--
			if err := syscall.EpollCtl(poll, syscall.EPOLL_CTL_DEL, int(e.Fd), nil); err != nil {
				return at, fmt.Errorf("bench: epoll: %w", err)
			}
		}
	}
	return at, nil
}

// mayOpen fails the trial if this process, or what it starts, may not have so many connections.
func (st *stand) mayOpen(files int) {
	var limit syscall.Rlimit
	st.must(syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit))
	if limit.Cur < uint64(files) {
		st.Fatalf("bench: %d open files are needed and %d allowed: ulimit -n", files, limit.Cur)
	}
}
