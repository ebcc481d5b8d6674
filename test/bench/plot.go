package main

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"text/template"
	"time"
)

// The plots are SVG, by templates: no program is needed to see them, and a change shows in a diff.

// bar is one line of a bar chart. Its numbers are shares of the width.
type bar struct {
	Label string
	Parts []barPart
	Goal  float64 // 0: none
}

// barPart is the bar of one series.
type barPart struct {
	Text            string
	To, Least, Most float64
	Class           int // of the series
}

// barChart is horizontal bars with the least and the greatest as whiskers, grouped by label.
type barChart struct {
	Title  string
	Legend []string
	Bars   []bar
	Ticks  []tick
}

type tick struct {
	At   float64
	Text string
}

const plotStyle = `<style>
    text { fill: #1d2933; font-family: sans-serif; font-size: 12px }
    .title { font-size: 14px; font-weight: bold }
    .small { font-size: 11px; fill: #44525f }
    .grid { stroke: #d5dde5; stroke-width: 1 }
    .goal { stroke: #c22f2f; stroke-width: 2 }
    .whisker { stroke: #1d2933; stroke-width: 1 }
    .s0 { fill: #3b5b7a } .s1 { fill: #d98e32 } .s2 { fill: #5a9367 } .s3 { fill: #a14a5d }
    .l0 { stroke: #3b5b7a } .l1 { stroke: #d98e32 } .l2 { stroke: #5a9367 } .l3 { stroke: #a14a5d }
    .line { fill: none; stroke-width: 2 }
    .page { fill: #ffffff }
  </style>`

const (
	plotLeft   = 300 // px, for labels
	plotWidth  = 470 // px, for what is drawn
	plotTotal  = 860
	barHeight  = 13
	plotHeight = 260 // px, of a line chart
)

var shapes = template.Must(template.New("").Funcs(template.FuncMap{
	"x":   func(share float64) string { return fmt.Sprintf("%.1f", plotLeft+share*plotWidth) },
	"w":   func(share float64) string { return fmt.Sprintf("%.1f", share*plotWidth) },
	"y":   func(share float64) string { return fmt.Sprintf("%.1f", 50+(1-share)*plotHeight) },
	"add": func(a, b int) int { return a + b },
	"mul": func(a, b int) int { return a * b },
}).Parse(`{{define "bars" -}}
{{$rows := .Rows}}{{$bottom := .Bottom -}}
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 860 {{add $bottom 30}}" role="img" aria-label="{{html .Chart.Title}}">
  {{.Style}}
  <rect class="page" width="860" height="{{add $bottom 30}}"/>
  <text class="title" x="20" y="24">{{html .Chart.Title}}</text>
{{- range $i, $l := .Chart.Legend}}
  <rect class="s{{$i}}" x="{{add 300 (mul $i 140)}}" y="34" width="12" height="12"/><text x="{{add 318 (mul $i 140)}}" y="44">{{html $l}}</text>
{{- end}}
{{- range .Chart.Ticks}}
  <line class="grid" x1="{{x .At}}" y1="56" x2="{{x .At}}" y2="{{$bottom}}"/><text class="small" x="{{x .At}}" y="{{add $bottom 16}}" text-anchor="middle">{{html .Text}}</text>
{{- end}}
{{- range $rows}}
  <text x="290" y="{{.LabelY}}" text-anchor="end">{{html .Label}}</text>
{{- range .Drawn}}
  <rect class="s{{.Class}}" x="300" y="{{.Y}}" width="{{w .To}}" height="10"/><line class="whisker" x1="{{x .Least}}" y1="{{.Middle}}" x2="{{x .Most}}" y2="{{.Middle}}"/><text class="small" x="776" y="{{.TextY}}">{{html .Text}}</text>
{{- end}}
{{- if .Goal}}
  <line class="goal" x1="{{x .Goal}}" y1="{{.Top}}" x2="{{x .Goal}}" y2="{{.Bottom}}"/>
{{- end}}
{{- end}}
</svg>
{{end}}
{{- define "lines" -}}
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 860 360" role="img" aria-label="{{html .Chart.Title}}">
  {{.Style}}
  <rect class="page" width="860" height="360"/>
  <text class="title" x="20" y="24">{{html .Chart.Title}}</text>
{{- range $i, $c := .Chart.Curves}}
  <rect class="s{{$i}}" x="20" y="{{add 60 (mul $i 24)}}" width="12" height="12"/><text x="38" y="{{add 70 (mul $i 24)}}">{{html $c.Label}}</text>
{{- end}}
{{- range .Chart.Rows}}
  <line class="grid" x1="300" y1="{{y .At}}" x2="770" y2="{{y .At}}"/><text class="small" x="290" y="{{y .At}}" text-anchor="end">{{html .Text}}</text>
{{- end}}
{{- range .Chart.Columns}}
  <line class="grid" x1="{{x .At}}" y1="50" x2="{{x .At}}" y2="310"/><text class="small" x="{{x .At}}" y="328" text-anchor="middle">{{html .Text}}</text>
{{- end}}
{{- range $i, $c := .Chart.Curves}}
  <polyline class="line l{{$i}}" points="{{range $c.Points}}{{x .X}},{{y .Y}} {{end}}"/>
{{- end}}
</svg>
{{end}}`))

// point is a share of width and height.
type point struct{ X, Y float64 }

type curve struct {
	Label  string
	Points []point
}

// lineChart is curves over a grid.
type lineChart struct {
	Title         string
	Curves        []curve
	Rows, Columns []tick
}

// draw is one of the shapes. It panics if the template does not fit, which is a mistake here.
func draw(shape string, data any) string {
	var b strings.Builder
	if err := shapes.ExecuteTemplate(&b, shape, data); err != nil {
		panic(fmt.Sprintf("bench: %v", err))
	}
	return b.String()
}

func (c barChart) svg() string {
	if len(c.Bars) == 0 {
		return ""
	}
	type part struct {
		barPart
		Y, Middle, TextY int
	}
	type rowOf struct {
		bar
		LabelY, Top, Bottom int
		Drawn               []part
	}
	var rows []rowOf
	y := 62
	for _, b := range c.Bars {
		r := rowOf{bar: b, LabelY: y + len(b.Parts)*barHeight/2 + 4, Top: y - 2, Bottom: y + len(b.Parts)*barHeight - 1}
		for _, p := range b.Parts {
			r.Drawn = append(r.Drawn, part{p, y, y + 5, y + 9})
			y += barHeight
		}
		y += 7
		rows = append(rows, r)
	}
	return draw("bars", map[string]any{"Chart": c, "Rows": rows, "Bottom": y, "Style": plotStyle})
}

func (c lineChart) svg() string {
	if len(c.Curves) == 0 {
		return ""
	}
	return draw("lines", map[string]any{"Chart": c, "Style": plotStyle})
}

// plot is a file beside the document.
type plot struct {
	place, file, about string
	draw               func(r *results) string // "" if nothing was measured for it
}

var plots = []plot{
	{"logins", "performance-logins.svg", "What a login costs over an anonymous one", func(r *results) string { return r.loginChart().svg() }},
	{"bystander", "performance-bystander.svg", "How long a message between two other clients takes", func(r *results) string { return r.bystanderChart().svg() }},
	{"reconnect", "performance-reconnect.svg", "Clients that are back after a restart", func(r *results) string { return r.reconnectChart().svg() }},
}

// bars draws a series for each name and version. scale turns a value into a share of the width.
func bars(names, versions []string, get func(version, name string) series, scale func(float64) float64, decimals int) (all []bar) {
	within := func(x float64) float64 { return min(max(scale(x), 0), 1) }
	for _, name := range names {
		b := bar{Label: name}
		for class, v := range versions {
			if s := get(v, name); len(s) > 0 {
				b.Parts = append(b.Parts, barPart{
					Text: fmt.Sprintf("%.*f", decimals, s.median()), Class: class,
					To: within(s.median()), Least: within(slices.Min(s)), Most: within(slices.Max(s)),
				})
			}
		}
		if len(b.Parts) > 0 {
			all = append(all, b)
		}
	}
	return all
}

// namesOf are the trials of a part, each once.
func (r *results) namesOf(part string, shown func(name string) bool) (all []string) {
	for _, t := range r.of(part) {
		if shown(t.Name) && !slices.Contains(all, t.Name) {
			all = append(all, t.Name)
		}
	}
	return all
}

func (r *results) loginChart() barChart {
	p := r.get("", partLogin, primitives, unit)
	get := func(v, name string) series { return r.overAnonymous(v, name).over(p) }
	names := r.namesOf(partLogin, func(name string) bool {
		return !isVariant(name) && !slices.Contains([]string{primitives, idle, anonymous, noCache}, name)
	})
	most := 3.5 // where all goals are to be seen
	for _, name := range names {
		for _, v := range r.versions() {
			for _, x := range get(v, name) {
				most = max(most, x)
			}
		}
	}
	c := barChart{
		Title: "What a login costs over an anonymous one, in P (an RS256 signature verified); red: the goal", Legend: prefixed("Mosquitto ", r.versions()),
		Bars: bars(names, r.versions(), get, func(x float64) float64 { return x / most }, 2),
	}
	goals := map[string]float64{repeated: mostRepeated, rs256 + newToken: mostRS256, es256 + newToken: mostES256, eddsa + newToken: mostEdDSA}
	for i := range c.Bars {
		c.Bars[i].Goal = goals[c.Bars[i].Label] / most
	}
	for x := range int(most) + 1 {
		c.Ticks = append(c.Ticks, tick{float64(x) / most, fmt.Sprint(x)})
	}
	return c
}

func prefixed(prefix string, all []string) (with []string) {
	for _, s := range all {
		with = append(with, prefix+s)
	}
	return with
}

// bystanderChart has a logarithmic scale, from 0.01 ms to 10 s.
func (r *results) bystanderChart() barChart {
	const least, decades = 0.01, 6
	scale := func(x float64) float64 { return math.Log10(x/least) / decades }
	c := barChart{
		Title:  "How long a message between two other clients takes in the storm: p99, ms",
		Legend: prefixed("Mosquitto ", r.versions()),
		Bars: bars(r.namesOf(partBystander, func(string) bool { return true }), r.versions(),
			func(v, name string) series { return r.get(v, partBystander, name, pairP99) }, scale, 2),
	}
	for i := range decades + 1 {
		c.Ticks = append(c.Ticks, tick{float64(i) / decades, fmt.Sprint(math.Round(least*math.Pow10(i)*100) / 100)})
	}
	return c
}

// reconnectChart has the share of clients that are back, by time, for the crowd in the middle and the newest version.
func (r *results) reconnectChart() (c lineChart) {
	version, cost, ok := r.newestCosts()
	if !ok {
		return c
	}
	clients := crowds[len(crowds)/2]
	c.Title = fmt.Sprintf("Clients that are back after a restart, of %s, by seconds (simulated, Mosquitto %s)", thousands(clients), version)
	const steps, minutes = 240, 2
	for _, jitter := range jitters {
		s := simulate(clients, jitter, cost.login)
		line := curve{Label: fmt.Sprintf("within %s: all after %s", lived(jitter), rough(s.after(1)))}
		for i := range steps + 1 {
			x := float64(i) / steps
			line.Points = append(line.Points, point{x, s.share(time.Duration(x * float64(minutes*time.Minute)))})
		}
		c.Curves = append(c.Curves, line)
	}
	for i := range 5 {
		c.Rows = append(c.Rows, tick{float64(i) / 4, fmt.Sprintf("%d %%", i*25)})
	}
	for i := range minutes*3 + 1 {
		c.Columns = append(c.Columns, tick{float64(i) / (minutes * 3), fmt.Sprint(i * 20)})
	}
	return c
}
