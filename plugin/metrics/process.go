package metrics

import (
	"os"
	"runtime"
	"runtime/metrics"
	"strconv"
	"strings"
	"syscall"
)

// writeProcess writes what is known of the broker's process, and of Go's runtime in it, by the names that Prometheus' own libraries
// give them. None of it stops the program.
func writeProcess(t *text) {
	samples := []metrics.Sample{
		{Name: "/sched/goroutines:goroutines"},
		{Name: "/memory/classes/heap/objects:bytes"},
		{Name: "/memory/classes/total:bytes"},
		{Name: "/gc/cycles/total:gc-cycles"},
		{Name: "/sched/gomaxprocs:threads"},
	}
	metrics.Read(samples)
	t.head("go_info", "Go's version.", gauges)
	t.line("go_info", labels{}, "1", "version", runtime.Version())
	for i, f := range []struct {
		name, help string
		kind       kind
	}{
		{"go_goroutines", "Goroutines.", gauges},
		{"go_memstats_heap_alloc_bytes", "Bytes of objects in Go's heap.", gauges},
		{"go_memstats_sys_bytes", "Bytes that Go has from the system.", gauges},
		{"go_gc_cycles_total", "Garbage collections.", counters},
		{"go_sched_gomaxprocs_threads", "Threads that may run Go code at once.", gauges},
	} {
		if samples[i].Value.Kind() == metrics.KindUint64 {
			t.head(f.name, f.help, f.kind)
			t.line(f.name, labels{}, whole(samples[i].Value.Uint64()))
		}
	}
	var used syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &used) == nil {
		t.one("process_cpu_seconds_total", "CPU time of the broker and the plugin.", counters, (secondsOf(used.Utime) + secondsOf(used.Stime)))
	}
	if pages, known := resident(); known {
		t.one("process_resident_memory_bytes", "Memory of the broker and the plugin.", gauges, float64(pages)*float64(os.Getpagesize()))
	}
	if files, known := openFiles(); known {
		t.one("process_open_fds", "Open files and connections.", gauges, float64(files))
	}
	var limit syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit) == nil {
		t.one("process_max_fds", "How many of them there may be.", gauges, float64(limit.Cur))
	}
}

func secondsOf(v syscall.Timeval) float64 { return float64(v.Sec) + float64(v.Usec)/1e6 }

// resident is how many pages of memory the process has.
func resident() (pages uint64, known bool) {
	text, err := os.ReadFile("/proc/self/statm")
	fields := strings.Fields(string(text))
	if err != nil || len(fields) < 2 {
		return 0, false
	}
	pages, err = strconv.ParseUint(fields[1], 10, 64)
	return pages, err == nil
}

// fileFolder has an entry for each file that the process has open.
const fileFolder = "/proc/self/fd"

// openFiles is how many files the process has open. Linux tells that as the folder's size, since version 6.2: to list the files of 20,000
// connections takes a scrape 100 times as long as all else.
func openFiles() (n int64, known bool) {
	if info, err := os.Stat(fileFolder); err == nil && info.Size() > 0 {
		return info.Size(), true
	}
	return listFiles()
}

func listFiles() (n int64, known bool) {
	f, err := os.Open(fileFolder)
	if err != nil {
		return 0, false
	}
	defer f.Close() //nolint:errcheck // it was only read
	names, err := f.Readdirnames(-1)
	return int64(len(names) - 1), err == nil // without the one that lists them
}
