package metrics

import (
	"math"
	"mime"
	"strconv"
	"strings"
)

// format is that of an answer.
type format uint8

const (
	// prometheus is the text format 0.0.4, openMetrics that of OpenMetrics 1.0: they differ in the names of counters' families, in
	// how numbers are written, and in an end.
	prometheus format = iota
	openMetrics
)

// formatOf is the format that an Accept header (RFC 9110 §12.5.1) prefers, openMetrics of two that it likes equally; prometheus if it
// takes neither.
func formatOf(accept string) format {
	var likes [openMetrics + 1]float64
	for each := range strings.SplitSeq(accept, ",") {
		kind, parameters, err := mime.ParseMediaType(each)
		if err != nil {
			continue
		}
		q := 1.0
		if text, is := parameters["q"]; is {
			if q, err = strconv.ParseFloat(text, 64); err != nil {
				continue
			}
		}
		version := parameters["version"]
		switch {
		case kind == "application/openmetrics-text" && (version == "" || version == "1.0.0" || version == "0.0.1"):
			likes[openMetrics] = max(likes[openMetrics], q)
		case kind == "text/plain" && (version == "" || version == "0.0.4"):
			likes[prometheus] = max(likes[prometheus], q)
		}
	}
	if likes[openMetrics] > 0 && likes[openMetrics] >= likes[prometheus] {
		return openMetrics
	}
	return prometheus
}

func (f format) contentType() string {
	if f == openMetrics {
		return "application/openmetrics-text; version=1.0.0; charset=utf-8"
	}
	return "text/plain; version=0.0.4; charset=utf-8"
}

// text is an answer that is being written.
type text struct {
	format format
	out    []byte
}

func (t *text) add(parts ...string) {
	for _, part := range parts {
		t.out = append(t.out, part...)
	}
}

// head begins a family. That of a counter has the name without "_total" in OpenMetrics.
func (t *text) head(name, help string, k kind) {
	if t.format == openMetrics && k == counters {
		name = strings.TrimSuffix(name, "_total")
	}
	t.add("# HELP ", name, " ", help, "\n# TYPE ", name, " ", string(k), "\n")
}

// end ends the answer.
func (t *text) end() {
	if t.format == openMetrics {
		t.add("# EOF\n")
	}
}

// line writes one sample. more are names and values of further labels.
func (t *text) line(name string, l labels, value string, more ...string) {
	t.add(name)
	before := "{"
	label := func(name, value string) {
		if value == "" {
			return
		}
		t.add(before, name, `="`, escaper.Replace(value), `"`)
		before = ","
	}
	label("provider", l.provider)
	label("method", l.method)
	label("command", l.command)
	label("result", l.result)
	label("reason", l.reason)
	for i := 0; i+1 < len(more); i += 2 {
		label(more[i], more[i+1])
	}
	if before == "," {
		t.add("}")
	}
	t.add(" ", value, "\n")
}

// escaper makes the value of a label.
var escaper = strings.NewReplacer(`\`, `\\`, "\n", `\n`, `"`, `\"`) //nolint:gochecknoglobals // a constant

// number is a float, which has a point in OpenMetrics.
func (t *text) number(v float64) string {
	switch {
	case math.IsInf(v, 1):
		return "+Inf"
	case t.format == openMetrics && v == math.Trunc(v) && math.Abs(v) < 1e15:
		return strconv.FormatFloat(v, 'f', 1, 64)
	}
	return strconv.FormatFloat(v, 'g', -1, 64)
}

func whole(n uint64) string { return strconv.FormatUint(n, 10) }

func (f *family[T]) write(t *text) {
	order, series := f.all()
	if len(order) == 0 {
		return
	}
	t.head(f.name, f.help, f.kind)
	for _, l := range order {
		switch one := any(series[l]).(type) {
		case *counter:
			t.line(f.name, l, whole(one.n.Load()))
		case *gauge:
			t.line(f.name, l, t.number(math.Float64frombits(one.bits.Load())))
		case *histogram:
			one.write(t, f.name, l)
		}
	}
}

func (h *histogram) write(t *text, name string, l labels) {
	var n uint64
	for i := range h.counts {
		bound := math.Inf(1)
		if i < len(h.bounds) {
			bound = h.bounds[i]
		}
		n += h.counts[i].Load()
		t.line(name+"_bucket", l, whole(n), "le", t.number(bound))
	}
	t.line(name+"_sum", l, t.number(float64(h.sum.Load())/1e9))
	t.line(name+"_count", l, whole(n))
}

// one writes a family of one series.
func (t *text) one(name, help string, k kind, value float64) {
	t.head(name, help, k)
	t.line(name, labels{}, t.number(value))
}
