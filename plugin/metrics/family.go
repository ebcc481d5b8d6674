package metrics

import (
	"math"
	"sort"
	"sync"
	"sync/atomic"
	"time"
)

// labels tell one series of a family from the others. One that is empty is not there.
type labels struct{ provider, method, command, result, reason string }

// kind is how a family is read.
type kind string

const (
	counters   kind = "counter"
	gauges     kind = "gauge"
	histograms kind = "histogram"
)

// family is all series of one name. T is counter, gauge or histogram.
type family[T any] struct {
	name, help string
	kind       kind
	new        func() *T

	mu     sync.RWMutex // guards series, not what is in them
	series map[labels]*T
}

func newFamily[T any](name, help string, k kind, n func() *T) *family[T] {
	return &family[T]{name: name, help: help, kind: k, new: n, series: map[labels]*T{}}
}

func newCounters(name, help string) *family[counter] {
	return newFamily(name, help, counters, func() *counter { return new(counter) })
}

func newGauges(name, help string) *family[gauge] {
	return newFamily(name, help, gauges, func() *gauge { return new(gauge) })
}

func newHistograms(name, help string, bounds []float64) *family[histogram] {
	return newFamily(name, help, histograms, func() *histogram {
		return &histogram{bounds: bounds, counts: make([]atomic.Uint64, len(bounds)+1)}
	})
}

// of is the series with these labels.
func (f *family[T]) of(l labels) *T {
	f.mu.RLock()
	one := f.series[l]
	f.mu.RUnlock()
	if one != nil {
		return one
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if one = f.series[l]; one == nil {
		one = f.new()
		f.series[l] = one
	}
	return one
}

// all are the series, in the order of their labels.
func (f *family[T]) all() (order []labels, series map[labels]*T) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	series = make(map[labels]*T, len(f.series))
	for l, one := range f.series {
		order, series[l] = append(order, l), one
	}
	sort.Slice(order, func(i, j int) bool { return order[i].less(order[j]) })
	return order, series
}

func (l labels) less(m labels) bool {
	a, b := [...]string{l.provider, l.method, l.command, l.result, l.reason}, [...]string{m.provider, m.method, m.command, m.result, m.reason}
	for i := range a {
		if a[i] != b[i] {
			return a[i] < b[i]
		}
	}
	return false
}

// counter only grows.
type counter struct{ n atomic.Uint64 }

func (c *counter) inc() { c.n.Add(1) }

// gauge is any number.
type gauge struct{ bits atomic.Uint64 }

func (g *gauge) set(v float64) { g.bits.Store(math.Float64bits(v)) }

// histogram counts durations by their length. bounds are the upper ones, in seconds.
type histogram struct {
	bounds []float64
	counts []atomic.Uint64
	sum    atomic.Int64 // ns
}

func (h *histogram) observe(d time.Duration) {
	h.counts[sort.SearchFloat64s(h.bounds, d.Seconds())].Add(1)
	h.sum.Add(int64(d))
}

// Buckets for what is done at once, and for what waits for others.
var (
	quick = []float64{10e-6, 25e-6, 50e-6, 100e-6, 250e-6, 500e-6, 1e-3, 2.5e-3, 5e-3, 10e-3, 25e-3, 50e-3, 100e-3, 250e-3, 1} //nolint:gochecknoglobals // a constant
	slow  = []float64{1e-3, 2.5e-3, 5e-3, 10e-3, 25e-3, 50e-3, 100e-3, 250e-3, 500e-3, 1, 2.5, 5, 10, 30}                      //nolint:gochecknoglobals // a constant
	both  = []float64{50e-6, 100e-6, 250e-6, 500e-6, 1e-3, 5e-3, 10e-3, 25e-3, 50e-3, 100e-3, 250e-3, 500e-3, 1, 2.5, 10}      //nolint:gochecknoglobals // a constant
)
