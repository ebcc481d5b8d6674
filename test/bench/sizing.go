package main

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"time"
)

// What one broker takes, on paper: from the costs that were measured.

// crowds and lifetimes are what is computed.
var (
	crowds    = []int{10_000, 100_000, 1_000_000}
	lifetimes = []time.Duration{5 * time.Minute, time.Hour, 24 * time.Hour}
)

// busiest is the share of the broker's main thread that logins may take for one broker to be enough: the rest is for messages.
const busiest = 0.5

// recheckInterval is the one that the table has a column for.
const recheckInterval = time.Minute

// size is what so many clients, each of which comes with a new token when its old one ends, ask of one broker and the provider.
type size struct {
	logins   float64       // a second, if they reconnect; as many renewals, if they renew
	share    float64       // of the main thread, by logins
	calls    float64       // a second: to the provider, for a token and about it
	rechecks float64       // a second, each a question to the provider
	memory   float64       // GB
	storm    time.Duration // of the main thread for one login of each
	enough   bool          // one broker is
}

// shareOf is the share of the main thread if each fresh token costs so much.
func (s size) shareOf(renewal time.Duration) float64 { return s.logins * renewal.Seconds() }

// costs are what one login and one renewal take of the main thread, and one connected client of memory.
type costs struct {
	login         time.Duration
	auth, control time.Duration // a renewal by each; 0 if not measured
	client        float64       // kB
}

func (c costs) size(clients int, lifetime time.Duration) size {
	s := size{
		logins:   float64(clients) / lifetime.Seconds(),
		rechecks: float64(clients) / recheckInterval.Seconds(),
		memory:   float64(clients) * c.client / 1e6,
		storm:    time.Duration(clients) * c.login,
	}
	s.calls = 2 * s.logins
	s.share = s.shareOf(c.login)
	s.enough = s.share <= busiest
	return s
}

// costs are the measured ones of a version; false if there are none.
func (r *results) costs(version string) (c costs, ok bool) {
	login := r.get(version, partLogin, rs256+newToken, cpuMain)
	client := r.get(version, partEndings, allTogether, perClient)
	if login == nil || client == nil {
		return c, false
	}
	took := func(s series) time.Duration {
		if s == nil {
			return 0
		}
		return time.Duration(s.median() * float64(time.Microsecond))
	}
	return costs{
		login: took(login), client: client.median(),
		auth: took(r.get(version, partRenewals, byAuth, cpuMain)), control: took(r.get(version, partRenewals, byControl, cpuMain)),
	}, true
}

// newestCosts are those of the newest version that has them.
func (r *results) newestCosts() (version string, c costs, ok bool) {
	for _, v := range r.versions() {
		if of, has := r.costs(v); has {
			version, c, ok = v, of, true
		}
	}
	return version, c, ok
}

// A reconnect storm, by simulation.

// jitters are within what time clients come back, each at a random moment of it.
var jitters = []time.Duration{time.Second, 10 * time.Second, time.Minute, 5 * time.Minute}

const (
	// backlog is how many connections wait for Mosquitto to accept them; the kernel drops the SYN of further ones.
	backlog = 100
	// firstSYN is when TCP sends a dropped SYN again (RFC 6298 §2), and then after twice the time each.
	firstSYN = time.Second
	// A client gives up after clientPatience without a connection, and tries again after a random part of a pause that doubles from
	// firstPause to longestPause.
	clientPatience = 10 * time.Second
	firstPause     = time.Second
	longestPause   = 2 * time.Minute
)

// reconnect is when each client was back, in order.
type reconnect []time.Duration

// after is when this share of the clients was back.
func (r reconnect) after(share float64) time.Duration {
	return r[max(int(math.Ceil(share*float64(len(r))))-1, 0)]
}

// share is which part of the clients was back by then.
func (r reconnect) share(at time.Duration) float64 {
	n, _ := slices.BinarySearch(r, at+1)
	return float64(n) / float64(len(r))
}

// arrival is a client's SYN.
type arrival struct {
	at, began time.Duration // began: when the client first tried this time
	next      time.Duration // until the next SYN, if this one is dropped
	pause     time.Duration // the longest after it gives up
}

// simulate has all clients lose their connection at 0 and come back within jitter. The broker takes one login after the other, each
// for as long as login says. It is the same each time.
func simulate(clients int, jitter, login time.Duration) reconnect {
	chance := rand.New(rand.NewPCG(1, 2))
	part := func(of time.Duration) time.Duration { return time.Duration(chance.Float64() * float64(of)) }
	first := func(at, pause time.Duration) arrival { return arrival{at, at, firstSYN, pause} }
	// By span of time. What comes again does so in a later span.
	const span = firstSYN / 10
	var coming [][]arrival
	add := func(a arrival) {
		for len(coming) <= int(a.at/span) {
			coming = append(coming, nil)
		}
		coming[a.at/span] = append(coming[a.at/span], a)
	}
	for range clients {
		add(first(part(jitter), firstPause))
	}
	back := make(reconnect, 0, clients)
	var free time.Duration // when the broker has served those that it has
	for i := 0; i < len(coming); i++ {
		slices.SortFunc(coming[i], func(a, b arrival) int { return cmp.Compare(a.at, b.at) })
		for _, c := range coming[i] {
			switch {
			case free-c.at <= backlog*login:
				free = max(free, c.at) + login
				back = append(back, free)
			case c.at+c.next < c.began+clientPatience:
				add(arrival{c.at + c.next, c.began, 2 * c.next, c.pause})
			default:
				add(first(c.began+clientPatience+part(c.pause), min(2*c.pause, longestPause)))
			}
		}
		coming[i] = nil
	}
	return back
}

// rough is a duration for a table.
func rough(d time.Duration) string {
	switch {
	case d < 10*time.Second:
		return fmt.Sprintf("%.1f s", d.Seconds())
	case d < 10*time.Minute:
		return fmt.Sprintf("%.0f s", d.Seconds())
	default:
		return fmt.Sprintf("%.0f min", d.Minutes())
	}
}
