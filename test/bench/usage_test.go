package main

import (
	"os"
	"runtime"
	"testing"
	"time"
)

func TestSchedstat(t *testing.T) {
	if got, err := parseSchedstat("1234567890 371832 42\n"); err != nil || got != 1234567890 {
		t.Errorf("%v (%v)", got, err)
	}
	for _, text := range []string{"", "1 2\n", "x 2 3\n", "1 2 3 4\n"} {
		if got, err := parseSchedstat(text); err == nil {
			t.Errorf("%q is read as %v", text, got)
		}
	}
}

func TestResident(t *testing.T) {
	if got, err := parseResident("Name:\tmosquitto\nVmHWM:\t  90000 kB\nVmRSS:\t   10000 kB\nThreads:\t1\n"); err != nil || got != 10.24 {
		t.Errorf("%v MB (%v), want 10.24", got, err)
	}
	if got, err := parseResident("Name:\tmosquitto\n"); err == nil {
		t.Errorf("no VmRSS is read as %v", got)
	}
}

// The two ways of counting agree about this process, of which one thread works.
func TestUsage(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	spend := func() usage {
		before, err := usageOf(os.Getpid())
		if err != nil {
			t.Fatal(err)
		}
		for begin := threadCPU(); threadCPU()-begin < 200*time.Millisecond; {
			runtime.KeepAlive(begin)
		}
		after, err := usageOf(os.Getpid())
		if err != nil {
			t.Fatal(err)
		}
		return after.minus(before)
	}
	if got := spend(); got.all < 150*time.Millisecond || got.main > got.all {
		t.Errorf("200 ms of work are counted as %v", got)
	}
	if got, err := usageOf(-1); err == nil {
		t.Errorf("no process has used %v", got)
	}
}

func TestBenchmarksAreRead(t *testing.T) {
	got := parseBenchmarks(`goos: linux
BenchmarkBegin/RS256-2         	   15000	     67578 ns/op	    7793 B/op	      98 allocs/op
BenchmarkHundredThousandSessions/admit_all-16 	 3	 100 ns/op	 353.5 B/session
PASS
`)
	for m, want := range (sample{
		"BenchmarkBegin/RS256, ns/op":     67578,
		"BenchmarkBegin/RS256, allocs/op": 98,
		perSession:                        353.5,
	}) {
		if got[m] != want {
			t.Errorf("%s is %v, want %v", m, got[m], want)
		}
	}
}
