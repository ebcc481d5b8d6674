package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// usage is what a process has used of the processors, in all its threads and in its first alone.
type usage struct{ all, main time.Duration }

func (u usage) minus(before usage) usage { return usage{u.all - before.all, u.main - before.main} }

// usageOf reads /proc/PID/task/*/schedstat. A thread that runs counts up to the scheduler's last tick, and one that has ended no
// more: neither concerns a broker that has just come to rest.
func usageOf(pid int) (u usage, err error) {
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/[0-9]*/schedstat", pid))
	if err != nil || len(tasks) == 0 {
		return u, errors.Join(fmt.Errorf("bench: process %d has no threads to look at", pid), err)
	}
	for _, path := range tasks {
		text, err := os.ReadFile(path)
		if errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
			continue // it has ended meanwhile
		}
		if err != nil {
			return u, fmt.Errorf("bench: %w", err)
		}
		spent, err := parseSchedstat(string(text))
		if err != nil {
			return u, fmt.Errorf("bench: %s: %w", path, err)
		}
		u.all += spent
		if filepath.Base(filepath.Dir(path)) == strconv.Itoa(pid) {
			u.main = spent
		}
	}
	return u, nil
}

// parseSchedstat reads the time on a processor: the first of three numbers, in ns.
func parseSchedstat(text string) (time.Duration, error) {
	fields := strings.Fields(text)
	if len(fields) != 3 {
		return 0, fmt.Errorf("%q is not a schedstat", text)
	}
	ns, err := strconv.ParseInt(fields[0], 10, 64)
	return time.Duration(ns), err
}

// threadCPU is what the calling thread, which must be locked, has used of the processors.
func threadCPU() time.Duration {
	const thisThread = 1 // RUSAGE_THREAD
	var r syscall.Rusage
	if err := syscall.Getrusage(thisThread, &r); err != nil {
		panic(fmt.Sprintf("bench: %v", err)) // not on Linux
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// residentMB is a process's RSS in MB (10⁶ bytes).
func residentMB(pid int) (float64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, fmt.Errorf("bench: %w", err)
	}
	return parseResident(string(text))
}

// parseResident reads VmRSS of /proc/PID/status, which is in KiB.
func parseResident(status string) (float64, error) {
	for line := range strings.Lines(status) {
		if value, is := strings.CutPrefix(line, "VmRSS:"); is {
			kib, err := strconv.Atoi(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(value), "kB")))
			return float64(kib) * 1024 / 1e6, err
		}
	}
	return 0, errors.New("bench: no VmRSS in the status of a process")
}
