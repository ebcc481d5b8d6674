package main

import (
	"cmp"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"go-jwt-auth/test/brokers"
)

// The document has places for what is generated, between two comments: <!-- bench: NAME --> and <!-- /bench -->. What is around
// them stays.
const (
	placeBegin = "<!-- bench: %s -->\n"
	placeEnd   = "<!-- /bench -->"
)

// publish writes the document and its plots, with the prose of template.
func (r *results) publish(template, into string) error {
	text, err := os.ReadFile(template)
	if err != nil {
		return fmt.Errorf("bench: %w", err)
	}
	document := string(text)
	pictures := map[string]string{} // by the place on top of which they are
	for _, p := range plots {
		svg := p.draw(r)
		if svg == "" {
			continue
		}
		if err := os.WriteFile(filepath.Join(filepath.Dir(into), p.file), []byte(svg), 0o644); err != nil {
			return fmt.Errorf("bench: %w", err)
		}
		pictures[p.place] = fmt.Sprintf("![%s](%s)\n\n", p.about, p.file)
	}
	for _, place := range []struct {
		name string
		text string
	}{
		{"run", r.about()},
		{"goals", r.goalTable()},
		{"floors", r.floorTable()},
		{"logins", r.loginTables()},
		{"variants", r.variantTable()},
		{"bystander", r.bystanderTable()},
		{"delivery", r.deliveryTable()},
		{"renewals", r.renewalTable()},
		{"seeing", r.seeingTable()},
		{"rest", r.restTable()},
		{"micro", r.microTable()},
		{"sizing", r.sizingTable()},
		{"reconnect", r.reconnectTable()},
		{"failures", r.failures()},
	} {
		if document, err = fill(document, place.name, pictures[place.name]+place.text); err != nil {
			return fmt.Errorf("bench: %s: %w", template, err)
		}
	}
	if err := os.WriteFile(into, []byte(document), 0o644); err != nil {
		return fmt.Errorf("bench: %w", err)
	}
	return nil
}

// fill puts text into a place of the document.
func fill(document, name, text string) (string, error) {
	begin := fmt.Sprintf(placeBegin, name)
	before, rest, found := strings.Cut(document, begin)
	_, after, ended := strings.Cut(rest, placeEnd)
	if !found || !ended {
		return "", fmt.Errorf("the place %q is missing", name)
	}
	if text != "" {
		text = "\n" + strings.TrimSpace(text) + "\n\n"
	}
	return before + begin + text + placeEnd + after, nil
}

// row is a line of a Markdown table.
func row(w *strings.Builder, cells ...string) {
	w.WriteString("| " + strings.Join(cells, " | ") + " |\n")
}

// head is its first two lines: columns of which those after the first few are numbers.
func head(w *strings.Builder, words int, columns ...string) {
	row(w, columns...)
	for i := range columns {
		if i < words {
			w.WriteString("|---")
		} else {
			w.WriteString("|--:")
		}
	}
	w.WriteString("|\n")
}

func (r *results) about() string {
	var b strings.Builder
	fmt.Fprintf(&b, "Measured on %s, %s, with Mosquitto %s, on %s. Rounds: %d, of %.1f s a trial; %.0f min altogether.\n",
		r.When.UTC().Format("2006-01-02"), r.Source, cmp.Or(strings.Join(r.versions(), " and "), "not running"), r.Machine, r.Rounds, r.Window.Seconds(), r.Lasted.Minutes())
	if p := r.get("", partLogin, primitives, unit); p != nil {
		fmt.Fprintf(&b, "**P**, an RS256 signature (2048 bits) verified by the standard library, was %s µs; ES256 %s µs, EdDSA %s µs.\n",
			p.text(1), r.get("", partLogin, primitives, verification(es256)).text(1), r.get("", partLogin, primitives, verification(eddsa)).text(1))
	}
	if r.quietness() > 0 {
		fmt.Fprintf(&b, "Without any load, 99 %% of messages took at most %.2f ms from one client to another.\n", r.quietness())
	}
	if r.tooNoisy() {
		fmt.Fprintf(&b, "\n**That is more than %d ms: the machine was too busy with something else. Nothing here is judged, and no figure should be quoted.**\n", noisy)
	}
	return b.String()
}

// goalTable has a line for each thing that is asked, and a column for each version.
func (r *results) goalTable() string {
	all := r.goals()
	if len(all) == 0 {
		return ""
	}
	versions := r.versions()
	if len(versions) == 0 {
		versions = []string{"found"} // by benchmarks alone
	}
	var b strings.Builder
	head(&b, 2, slices.Concat([]string{"what", "goal"}, versions)...)
	var done []string
	for _, g := range all {
		if slices.Contains(done, g.what) {
			continue
		}
		done = append(done, g.what)
		cells := []string{g.what, g.asked()}
		for _, v := range versions {
			at := slices.IndexFunc(all, func(other goal) bool { return other.what == g.what && (other.version == v || other.version == "") })
			if at < 0 {
				cells = append(cells, "")
				continue
			}
			cells = append(cells, r.verdict(all[at]))
		}
		row(&b, cells...)
	}
	return b.String()
}

// floorTable has what no plugin in Go can do without.
func (r *results) floorTable() string {
	versions := r.versions()
	var b strings.Builder
	head(&b, 2, slices.Concat([]string{"what", "goal"}, versions)...)
	n := 0
	for _, what := range []string{repeated, repeatedRate, rs256 + newToken, es256 + newToken, eddsa + newToken} {
		cells, some := []string{what, ""}, false
		for _, v := range versions {
			floor := r.floor(v, what)
			some = some || len(floor) > 0
			cells = append(cells, floor.text(2))
			for _, g := range r.goalsOf(v) {
				if g.what == what {
					cells[1] = g.asked()
				}
			}
		}
		if some {
			n++
			row(&b, cells...)
		}
	}
	if n == 0 {
		return ""
	}
	return b.String()
}

// verdict is what was found, and PASS or FAIL unless nothing can be judged.
func (r *results) verdict(g goal) string {
	switch {
	case !g.measured():
		return "not measured"
	case r.tooNoisy():
		return g.found.text(g.decimals)
	case g.passed():
		return g.found.text(g.decimals) + " PASS"
	default:
		return g.found.text(g.decimals) + " **FAIL**"
	}
}

// isVariant tells whether a trial of partLogin belongs into the table of the other ways.
func isVariant(name string) bool {
	return slices.ContainsFunc(variants, func(v variant) bool { return strings.HasSuffix(name, v.suffix) })
}

func (r *results) loginTables() string {
	var b strings.Builder
	for _, v := range r.versions() {
		if r.find(v, partLogin, anonymous) == nil {
			continue
		}
		fmt.Fprintf(&b, "**Mosquitto %s**\n\n", v)
		r.loginTable(&b, v, func(name string) bool { return !isVariant(name) }, anonymous)
		b.WriteString("\n")
	}
	return b.String()
}

func (r *results) variantTable() string {
	var b strings.Builder
	for _, v := range r.versions() {
		for i, other := range variants {
			if r.find(v, partLogin, anonymous+other.suffix) == nil {
				continue
			}
			if i == 0 {
				fmt.Fprintf(&b, "\n**Mosquitto %s**\n\n", v)
			}
			r.loginTable(&b, v, func(name string) bool { return strings.HasSuffix(name, other.suffix) }, anonymous+other.suffix)
			b.WriteString("\n")
		}
	}
	return b.String()
}

// loginTable has the trials of a version that are shown, and what they cost over a reference.
func (r *results) loginTable(b *strings.Builder, version string, shown func(name string) bool, reference string) {
	head(b, 1, "login", "logins/s", "× anonymous", "broker's CPU, µs", "of it the main thread", "over anonymous, µs", "in P", "p50, ms", "p99, ms", string(idleLoad))
	base := r.find(version, partLogin, reference)
	p := r.get("", partLogin, primitives, unit)
	for _, t := range r.of(partLogin) {
		if t.Version != version || t.Name == idle || !shown(t.Name) || len(t.Rounds) == 0 {
			continue
		}
		get := func(m metric) series { return t.Rounds[m] }
		over := get(cpuAll).minus(base.Rounds[cpuAll])
		row(b, t.Name, get(rate).text(0), get(rate).over(base.Rounds[rate]).text(2), get(cpuAll).text(1), get(cpuMain).text(1),
			over.text(1), over.over(p).text(2), get(loginP50).text(1), get(loginP99).text(1), get(idleLoad).text(0))
	}
}

func (r *results) bystanderTable() string {
	var b strings.Builder
	head(&b, 2, "Mosquitto", "storm, endpoint's delay", "logins/s", "attempts/s", "pair's p50, ms", "p99, ms", "longest, ms", "p99 × anonymous storm's", "lost")
	n := 0
	for _, t := range r.of(partBystander) {
		if len(t.Rounds) == 0 {
			continue
		}
		n++
		get := func(m metric) series { return t.Rounds[m] }
		row(&b, t.Version, t.Name, get(rate).text(0), get(attempts).text(0), get(pairP50).text(2), get(pairP99).text(2), get(pairMax).text(1),
			get(pairP99).over(r.get(t.Version, partBystander, anonymous, pairP99)).text(2), get(pairLost).text(0))
	}
	if n == 0 {
		return ""
	}
	return b.String()
}

// deliveryTable has what each delivery costs, and what it costs over one about which nothing is asked.
func (r *results) deliveryTable() string {
	var b strings.Builder
	head(&b, 2, "Mosquitto", "messages, who decides", "deliveries/s", "broker's CPU, µs", "of it the main thread", "over nothing asked, µs", "× ACL file", "not delivered")
	n := 0
	for _, t := range r.of(partDelivery) {
		if len(t.Rounds) == 0 {
			continue
		}
		n++
		way := oneToOne
		if strings.HasPrefix(t.Name, oneToMany) {
			way = oneToMany
		}
		get := func(m metric) series { return t.Rounds[m] }
		of := func(who string) series { return r.get(t.Version, partDelivery, way+who, cpuDelivery) }
		row(&b, t.Version, t.Name, get(deliveries).text(0), get(cpuDelivery).text(2), get(cpuDeliveryMain).text(2),
			get(cpuDelivery).minus(of(rulesNone)).text(2), get(cpuDelivery).over(of(rulesFile)).text(2), get(undelivered).text(0))
	}
	if n == 0 {
		return ""
	}
	return b.String()
}

// restTable has what is measured of a broker other than logins.
func (r *results) restTable() string {
	var b strings.Builder
	versions := r.versions()
	head(&b, 1, slices.Concat([]string{"what"}, versions)...)
	n := 0
	for _, line := range []struct {
		what, part, name string
		metric           metric
		decimals         int
	}{
		{"a bystander's longest wait, " + allTogether + ", ms", partEndings, allTogether, longestWait, 1},
		{"until all are gone, ms", partEndings, allTogether, untilGone, 0},
		{"from a token's end until its client is disconnected, longest of 20, ms", partDelays, expired, delay, 0},
		{"what a pending login takes beyond the endpoint, longest of 20, ms", partDelays, pendingLogin, delay, 1},
		{"from the endpoint's \"inactive\" until an admitted client is disconnected, longest of 20, ms", partDelays, foundInactive, delay, 1},
		{"memory (RSS) of a connected client, broker and plugin, kB", partEndings, allTogether, perClient, 2},
		{"start, plain broker, ms", partStart, plainBroker, startTime, 1},
		{"start, with the plugin, ms", partStart, withPlugin, startTime, 1},
		{"memory (RSS) when idle, plain broker, MB", partStart, plainBroker, idleRSS, 1},
		{"memory (RSS) when idle, with the plugin, MB", partStart, withPlugin, idleRSS, 1},
		{"memory (RSS) after the logins, plain broker, MB", partMemory, plainBroker, stormedRSS, 1},
		{"memory (RSS) after the logins, with the plugin, MB", partMemory, withPlugin, stormedRSS, 1},
	} {
		cells, some := []string{line.what}, false
		for _, v := range versions {
			found := r.get(v, line.part, line.name, line.metric)
			some = some || found != nil
			cells = append(cells, found.text(line.decimals))
		}
		if some {
			n++
			row(&b, cells...)
		}
	}
	if n == 0 {
		return ""
	}
	return b.String()
}

// microTable has a line for each benchmark.
func (r *results) microTable() string {
	t := r.find("", partMicro, benchmarks)
	if t == nil {
		return ""
	}
	units := []string{"ns/op", "cpu-ns/op", "B/op", "allocs/op", "B/session"}
	var names []string
	for m := range t.Rounds {
		name, _, _ := strings.Cut(string(m), ", ")
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	var b strings.Builder
	head(&b, 1, append([]string{"benchmark"}, units...)...)
	for _, name := range names {
		cells := []string{"`" + name + "`"}
		for _, unit := range units {
			cells = append(cells, series(t.Rounds[microName(name, unit)]).text(0))
		}
		row(&b, cells...)
	}
	return b.String()
}

// sizingTable is of the newest version.
func (r *results) sizingTable() string {
	version, c, ok := r.newestCosts()
	if !ok {
		return ""
	}
	var b strings.Builder
	fmt.Fprintf(&b, "With Mosquitto %s a login with a new RS256 token takes %d µs of the main thread, and a connected client %.1f kB.", version, c.login.Microseconds(), c.client)
	if c.auth > 0 {
		fmt.Fprintf(&b, " A renewal by AUTH takes %d µs, by $CONTROL %d µs.", c.auth.Microseconds(), c.control.Microseconds())
	}
	b.WriteString("\n\n")
	head(&b, 1, "clients", "token lives", "by reconnect: logins/s", "of the main thread", "by renewal: logins/s", "renewals/s", "of the main thread, AUTH", "$CONTROL",
		"by both: provider calls/s", "with rechecks each minute", "memory, GB", "logins of all", "one broker is enough")
	for _, clients := range crowds {
		for _, lifetime := range lifetimes {
			s := c.size(clients, lifetime)
			enough := "yes"
			if !s.enough {
				enough = fmt.Sprintf("no: %.0f", math.Ceil(s.share/busiest))
			}
			byAuth, byControl := "–", "–"
			if c.auth > 0 {
				byAuth, byControl = percent(s.shareOf(c.auth)), percent(s.shareOf(c.control))
			}
			row(&b, thousands(clients), lived(lifetime), perSecond(s.logins), percent(s.share), "0", perSecond(s.logins), byAuth, byControl,
				perSecond(s.calls), perSecond(s.calls+s.rechecks), fmt.Sprintf("%.2g", s.memory), rough(s.storm), enough)
		}
	}
	return b.String()
}

// reconnectTable is of the newest version.
func (r *results) reconnectTable() string {
	version, c, ok := r.newestCosts()
	if !ok {
		return ""
	}
	var b strings.Builder
	fmt.Fprintf(&b, "Half of the clients are back after, 99 %%, all (Mosquitto %s):\n\n", version)
	columns := []string{"clients"}
	for _, jitter := range jitters {
		columns = append(columns, "within "+lived(jitter))
	}
	head(&b, 1, columns...)
	for _, clients := range crowds {
		cells := []string{thousands(clients)}
		for _, jitter := range jitters {
			s := simulate(clients, jitter, c.login)
			cells = append(cells, fmt.Sprintf("%s, %s, %s", rough(s.after(0.5)), rough(s.after(0.99)), rough(s.after(1))))
		}
		row(&b, cells...)
	}
	return b.String()
}

// failures tells what could not be measured.
func (r *results) failures() string {
	var b strings.Builder
	for _, t := range r.Trials {
		if t.Failure != "" {
			fmt.Fprintf(&b, "**%s** could not be measured:\n\n    %s\n\n", t.title(), strings.ReplaceAll(strings.TrimSpace(t.Failure), "\n", "\n    "))
		}
	}
	return b.String()
}

func thousands(n int) string {
	text := fmt.Sprint(n)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

func lived(d time.Duration) string {
	switch {
	case d == 24*time.Hour:
		return "1 day"
	case d == time.Hour:
		return "1 h"
	case d >= time.Minute:
		return fmt.Sprintf("%.0f min", d.Minutes())
	default:
		return fmt.Sprintf("%.0f s", d.Seconds())
	}
}

func perSecond(x float64) string {
	if x < 10 {
		return fmt.Sprintf("%.1f", x)
	}
	return fmt.Sprintf("%.0f", x)
}

func percent(x float64) string {
	switch {
	case x < 0.001:
		return "< 0.1 %"
	case x < 0.1:
		return fmt.Sprintf("%.1f %%", x*100)
	}
	return fmt.Sprintf("%.0f %%", x*100)
}

// versionsByName is the broker of that name.
func versionsByName(name string) (found []brokers.Version) {
	for _, v := range brokers.All() {
		if v.Name == name {
			found = append(found, v)
		}
	}
	return found
}
