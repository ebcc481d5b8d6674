package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	packets3 "github.com/eclipse/paho.mqtt.golang/packets"

	"go-jwt-auth/test/brokers"
	"go-jwt-auth/test/harness"
)

// partSeeing is what it does to a pair of clients that somebody looks at who is connected, during a storm of logins at a fixed rate and
// with very many clients that stay.
const partSeeing = "seeing"

const (
	seenClients  = 50_000
	quickClients = 5_000
	// stormRate is the logins/s, each with a token that the broker has never seen, whose client leaves at once.
	stormRate = 2_000
	// stormWorkers bounds how many of them may be under way.
	stormWorkers = 512
	// spareFiles are those that are open besides the clients' that stay.
	spareFiles = 2 * stormWorkers
	// seenInterval is the time from one message of the pair to the next.
	seenInterval = time.Millisecond
)

// Its metrics, besides those of pairs and logins: how many of the clients are connected, how many entries an admin has been shown a
// second, how many answers there were a second, and how long one took.
const (
	connected metric = "connected"
	entries   metric = "entries/s"
	answersOf metric = "answers/s"
	answerP99 metric = "answer's p99, ms"
	answerMax metric = "longest answer, ms"
)

// looking is a trial of partSeeing.
type looking struct {
	name string
	// on: options.metrics, options.audit and options.control.admins are there, else nothing of the kind.
	on bool
	// list: an admin reads the list of sessions, all pages, again and again; watch: another asks once a second what has changed.
	list, watch bool
	// scrape is how often the metrics are read; 0: never.
	scrape time.Duration
}

// The names of those that others are compared with.
const (
	nobodyOff    = "nobody looks, all is off"
	nobodyOn     = "nobody looks"
	scrapedOften = "scrape, each 100 ms"
)

var lookings = []looking{
	{name: nobodyOff},
	{name: nobodyOn, on: true},
	{name: "list", on: true, list: true},
	{name: "watch", on: true, watch: true},
	{name: "scrape, each second", on: true, scrape: time.Second},
	{name: "list, watch, scrape", on: true, list: true, watch: true, scrape: time.Second},
	{name: scrapedOften, on: true, scrape: 100 * time.Millisecond},
}

// seeing are the trials of partSeeing.
func (r *rig) seeing(v brokers.Version, window time.Duration) (all []trial) {
	all = append(all, trial{version: v.Name, part: partSeeing, name: idle, reference: true, run: func(st *stand) sample {
		return r.scenario(st, v, scenario{name: idle}, window/2)
	}})
	for _, l := range lookings {
		all = append(all, trial{version: v.Name, part: partSeeing, name: l.name, reference: l.name == nobodyOff || l.name == nobodyOn, run: func(st *stand) sample {
			return r.look(st, v, l, window)
		}})
	}
	return all
}

// look has a storm, and looks at it.
func (r *rig) look(st *stand, v brokers.Version, l looking, window time.Duration) sample {
	clients := seenClients
	if r.quick {
		clients = quickClients
	}
	file := r.config(r.cachedKeys(), nil)
	metrics := harness.FreeAddress(st)
	token, name := r.oneSubject()
	if l.on {
		options := file["options"].(object) //nolint:errcheck,forcetypeassert // config has made it
		options["metrics"] = object{"listen": metrics}
		options["audit"] = object{"filePath": filepath.Join(st.TempDir(), "audit.jsonl")}
		options["control"] = object{"admins": []object{{"username": name}}}
	}
	b := r.broker(st, v, r.ours(file))
	var files syscall.Rlimit
	st.must(syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files))
	stay := min(clients, int(files.Cur)-spareFiles)
	b.RaiseFileLimit(stay + spareFiles)
	both := r.pair(st, b.URL(0))
	st.populate(b.URL(0), token, clients-stay, false)
	st.populate(b.URL(0), token, stay, true)

	var lookers []func(stop <-chan struct{}) (seen, error)
	if l.list {
		lookers = append(lookers, st.admin(b.URL(0), "lister", token).list)
	}
	if l.watch {
		lookers = append(lookers, st.admin(b.URL(0), "watcher", token).watch)
	}
	if l.scrape > 0 {
		lookers = append(lookers, func(stop <-chan struct{}) (seen, error) { return scrape(metrics, l.scrape, stop) })
	}
	// Caches are empty, code is not yet in memory, and the broker's own table of clients (uthash) may be about to grow, which stops it for
	// 130 ms once there are 50,000: sooner or later one of the names that come would have it do so.
	storm := r.storming(b.URL(0), time.Minute)
	storm.rate, storm.limit = 0, clients/2
	_, err := storm.run()
	st.must(err)
	storm.rate, storm.limit = stormRate, 0
	storm.window, storm.pair, storm.interval = window, both, seenInterval

	before, err := usageOf(b.PID())
	st.must(err)
	stop, found, failures := make(chan struct{}), make([]seen, len(lookers)), make([]error, len(lookers))
	var looking sync.WaitGroup
	for i, look := range lookers {
		looking.Go(func() { found[i], failures[i] = look(stop) })
	}
	t, err := storm.run()
	close(stop)
	looking.Wait()
	after, usageErr := usageOf(b.PID())
	st.must(errors.Join(errors.Join(failures...), err, usageErr))
	st.expect(t, accepted)
	spent := after.minus(before)
	m := pairSample(t.messages)
	m[connected] = float64(stay)
	m[rate] = t.perSecond(t.accepted)
	m[cpuAll], m[cpuMain] = us(spent.all)/float64(t.accepted), us(spent.main)/float64(t.accepted)
	var took []time.Duration
	for _, s := range found {
		m[entries] += float64(s.entries) / t.lasted.Seconds()
		took = append(took, s.answers...)
	}
	if len(lookers) > 0 {
		if len(took) == 0 {
			st.Fatalf("bench: nothing was seen")
		}
		m[answersOf], m[answerP99], m[answerMax] = t.perSecond(len(took)), percentile(took, 99), percentile(took, 100)
	}
	return m
}

// storming is the storm.
func (r *rig) storming(url string, window time.Duration) load {
	all := r.keys.tokens[rs256]
	used := 0
	return load{url: url, workers: stormWorkers, window: window, rate: stormRate, next: func(int) []byte {
		used++
		return harness.ConnectPacket(harness.V311, login(clientID(used), all[used%len(all)]))
	}}
}

// populate has so many clients come by the same token, whose sessions the broker keeps: they stay, or go away.
func (st *stand) populate(url, token string, clients int, stay bool) {
	if clients == 0 {
		return
	}
	next := 0
	t, err := load{
		url: url, workers: manyWorkers, window: time.Minute, limit: clients, stay: stay, from: [][4]byte{{127, 0, 1, 1}, {127, 0, 1, 2}, {127, 0, 1, 3}, {127, 0, 1, 4}},
		next: func(int) []byte {
			next++
			l := login(fmt.Sprint("resident-", stay, "-", next), token)
			l.Resume = true
			return harness.ConnectPacket(harness.V311, l)
		},
	}.run()
	st.Cleanup(func() {
		for _, socket := range t.in {
			_ = syscall.Close(socket) // nothing depends on how it ends
		}
	})
	st.must(err)
	st.expect(t, accepted)
	if t.accepted < clients {
		st.Fatalf("bench: only %d of %d clients came in", t.accepted, clients)
	}
}

// seen is what somebody has seen who looked.
type seen struct {
	entries int
	answers []time.Duration // how long each took
}

// scrape reads the metrics at each interval.
func scrape(address string, interval time.Duration, stop <-chan struct{}) (s seen, err error) {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		began := time.Now()
		answer, err := http.Get("http://" + address + "/metrics")
		if err != nil {
			return s, fmt.Errorf("bench: %w", err)
		}
		text, err := io.ReadAll(answer.Body)
		if err = errors.Join(err, answer.Body.Close()); err != nil {
			return s, fmt.Errorf("bench: %w", err)
		}
		if !bytes.Contains(text, []byte("jwt_auth_logins_total")) {
			return s, fmt.Errorf("bench: the metrics are %s", text)
		}
		s.answers = append(s.answers, time.Since(began))
		select {
		case <-stop:
			return s, nil
		case <-tick.C:
		}
	}
}

// admin is a client that may ask.
type admin struct{ conn net.Conn }

// admin connects one.
func (st *stand) admin(url, id, token string) admin {
	conn, err := net.DialTimeout("tcp", strings.TrimPrefix(url, "mqtt://"), harness.Patience)
	st.must(err)
	st.Cleanup(func() { _ = conn.Close() })
	_, err = conn.Write(harness.ConnectPacket(harness.V311, login(id, token)))
	st.must(err)
	answer, err := packets3.ReadPacket(conn)
	st.must(err)
	if p, is := answer.(*packets3.ConnackPacket); !is || p.ReturnCode != 0 {
		st.Fatalf("bench: an admin was answered %v", answer)
	}
	return admin{conn}
}

// tooMany is the error of an admin who asks too often.
const tooMany = `"too many requests"`

// ask returns the answer to a command. One that comes too soon is asked again.
func (a admin) ask(command object) (answer []byte, took time.Duration, err error) {
	text, err := json.Marshal(object{"commands": []object{command}})
	if err != nil {
		return nil, 0, fmt.Errorf("bench: %w", err)
	}
	for {
		began := time.Now()
		answer, err := a.once(text)
		switch {
		case err != nil:
			return nil, 0, fmt.Errorf("bench: %w", err)
		case bytes.Contains(answer, []byte(tooMany)):
			time.Sleep(100 * time.Millisecond)
		case bytes.Contains(answer, []byte(`"error":`)):
			return answer, 0, fmt.Errorf("bench: %s", answer)
		default:
			return answer, time.Since(began), nil
		}
	}
}

func (a admin) once(command []byte) (answer []byte, err error) {
	if err := a.conn.SetDeadline(time.Now().Add(harness.Patience)); err != nil {
		return nil, err
	}
	if _, err := a.conn.Write(encoded3(&packets3.PublishPacket{
		FixedHeader: packets3.FixedHeader{MessageType: packets3.Publish}, TopicName: controlTopic, Payload: command,
	})); err != nil {
		return nil, err
	}
	packet, err := packets3.ReadPacket(a.conn)
	if err != nil {
		return nil, err
	}
	p, is := packet.(*packets3.PublishPacket)
	if !is {
		return nil, fmt.Errorf("an admin got %v", packet)
	}
	if p.Qos > 0 {
		_, err = a.conn.Write(encoded3(&packets3.PubackPacket{FixedHeader: packets3.FixedHeader{MessageType: packets3.Puback}, MessageID: p.MessageID}))
	}
	return p.Payload, err
}

// number is that of a member of an answer.
func number(answer []byte, member string) (int, error) {
	_, rest, found := bytes.Cut(answer, []byte(`"`+member+`":`))
	digits := bytes.IndexFunc(rest, func(r rune) bool { return r < '0' || r > '9' })
	if !found || digits < 1 {
		return 0, fmt.Errorf("bench: no %s in %.200s", member, answer)
	}
	return strconv.Atoi(string(rest[:digits]))
}

// shown is how many entries an answer has: sessions, and client ids of those that have ended, none of which holds a bracket.
func shown(answer []byte) int {
	n := bytes.Count(answer, []byte(`"clientid":`))
	_, rest, _ := bytes.Cut(answer, []byte(`"ended":[`))
	if ended, _, _ := bytes.Cut(rest, []byte("]")); len(ended) > 0 {
		n += 1 + bytes.Count(ended, []byte(`","`))
	}
	return n
}

// perPage is how many entries are asked for at once.
const perPage = 1000

// list reads page after page.
func (a admin) list(stop <-chan struct{}) (s seen, err error) {
	for offset := 0; ; {
		select {
		case <-stop:
			return s, nil
		default:
		}
		answer, took, err := a.ask(object{"command": "listSessions", "count": perPage, "offset": offset})
		if err != nil {
			return s, err
		}
		all, err := number(answer, "totalCount")
		if err != nil {
			return s, err
		}
		n := shown(answer)
		s.entries, s.answers = s.entries+n, append(s.answers, took)
		if offset += n; n == 0 || offset >= all {
			offset = 0
		}
	}
}

// now is the revision of the list.
func (a admin) now() (int, error) {
	answer, _, err := a.ask(object{"command": "listSessions", "count": 1})
	if err != nil {
		return 0, err
	}
	return number(answer, "revision")
}

// watch asks each second what has changed. If it is too late for that, it begins anew.
func (a admin) watch(stop <-chan struct{}) (s seen, err error) {
	since, err := a.now()
	if err != nil {
		return s, err
	}
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		for more := true; more; {
			answer, took, err := a.ask(object{"command": "listSessionChanges", "count": perPage, "since": since})
			switch {
			case bytes.Contains(answer, []byte("revision too old")):
				since, err = a.now()
			case err == nil:
				since, err = number(answer, "revision")
			}
			if err != nil {
				return s, err
			}
			s.entries, s.answers = s.entries+shown(answer), append(s.answers, took)
			more = bytes.Contains(answer, []byte(`"more":true`))
		}
		select {
		case <-stop:
			return s, nil
		case <-tick.C:
		}
	}
}

// seeingTable has a line for each way to look, for each version.
func (r *results) seeingTable() string {
	if len(r.of(partSeeing)) == 0 {
		return ""
	}
	var b strings.Builder
	head(&b, 2, "Mosquitto", "who looks", "connected", "logins/s", "pair's p50, ms", "p99, ms", "longest, ms", "p99 × without", "lost", "broker's CPU a login, µs",
		"of it the main thread", "entries/s", "answers/s", "main thread's CPU an answer, ms", "an answer's p99, ms", "longest, ms")
	for _, t := range r.of(partSeeing) {
		if len(t.Rounds) == 0 || t.Name == idle {
			continue
		}
		get := func(m metric) series { return t.Rounds[m] }
		quiet := r.get(t.Version, partSeeing, nobodyOn, cpuMain)
		perAnswer := get(cpuMain).minus(quiet).each(get(rate), func(us, rate float64) float64 { return us / 1e3 * rate }).over(get(answersOf))
		row(&b, t.Version, t.Name, get(connected).text(0), get(rate).text(0), get(pairP50).text(2), get(pairP99).text(2), get(pairMax).text(1), get(pairP99).over(r.get(t.Version, partSeeing, nobodyOff, pairP99)).text(2),
			get(pairLost).text(0), get(cpuAll).text(0), get(cpuMain).text(0), get(entries).text(0), get(answersOf).text(1), perAnswer.text(2), get(answerP99).text(1), get(answerMax).text(1))
	}
	return b.String()
}
