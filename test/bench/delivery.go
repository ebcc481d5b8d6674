package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"

	"go-jwt-auth/test/brokers"
	"go-jwt-auth/test/harness"
)

// partDelivery is what a message costs, whose publish and whose every delivery the broker asks plugins and the ACL file about: from one
// client to a thousand, each message being sent when the one before has come to all, and from one to one at a fixed rate.
const partDelivery = "delivery"

// Its metrics. CPU is the broker's process's, for each delivery.
const (
	deliveries      metric = "deliveries/s"
	cpuDelivery     metric = "broker's CPU, µs"
	cpuDeliveryMain metric = "main thread's CPU, µs"
	undelivered     metric = "not delivered"
)

// Who decides in a trial.
const (
	rulesNone    = "nothing asked"
	rulesRights  = "rights from tokens, 20 rules"
	rulesRights2 = "rights from tokens, 200 rules"
	rulesTopics  = "rights from tokens, 20 rules, 16 topics in turn"
	rulesFile    = "ACL file, 20 rules"
	rulesDynsec  = "dynamic-security, 20 rules"
	rulesBeside  = "ACL file, 20 rules, for others than tokens"
)

const (
	oneToMany = "1 to 1,000, "
	oneToOne  = "1 to 1, "

	manySubscribers = 1000
	// pairRate is the messages/s from one client to another, in a batch each pairBatch.
	pairRate  = 20_000
	pairBatch = time.Millisecond

	deliveryTopic  = "factory/line-00/temperature"
	deliveryFilter = "factory/+/temperature"
)

// oneSubject is the token of all clients there, and oneName the username that it gives them.
func (r *rig) oneSubject() (token, oneName string) {
	return r.keys.byAlg[eddsa].sign(0, farOff), fmt.Sprint(claims(0, farOff)["sub"])
}

// filters are so many rules' filters, of which the last one is about the topic.
func filters(count int) []string {
	all := make([]string, count)
	for i := range all {
		all[i] = fmt.Sprintf("plant-%d/+/pressure/#", i)
	}
	all[count-1] = deliveryFilter
	return all
}

// authorities are the brokers of partDelivery.
func (r *rig) authorities() (names []string, options map[string]harness.Options) {
	_, name := r.oneSubject()
	withRights := func(rules int) harness.Options {
		c := r.config(r.cachedKeys(), nil)
		c["options"].(object)["authorization"] = object{ //nolint:errcheck,forcetypeassert // config has made it
			"grants": []object{{"everyone": true, "publish": filters(rules), "subscribe": filters(rules)}}, "maxRules": 1000,
		}
		return r.ours(c)
	}
	aclFile := "user " + name + "\n" + "topic readwrite " + strings.Join(filters(20), "\ntopic readwrite ") + "\n"
	beside := withRights(20)
	beside.Extra, beside.Files = "acl_file {dir}/acl\n", map[string]string{"acl": strings.ReplaceAll(aclFile, name, "user")}
	beside.Passwords = map[string]string{"user": "a password"}
	byFile := r.ours(r.config(r.cachedKeys(), nil))
	byFile.Extra, byFile.Files = "acl_file {dir}/acl\n", map[string]string{"acl": aclFile}
	byDynsec := r.ours(r.config(r.cachedKeys(), nil))
	byDynsec.Plugins = append(byDynsec.Plugins, harness.Dynsec{
		Roles: map[string][]harness.ACL{"sensor": harness.MayUse(filters(20)...)}, Clients: []harness.DynsecClient{{Username: name, Roles: []string{"sensor"}}},
	}.Plugin())
	return []string{rulesNone, rulesRights, rulesRights2, rulesTopics, rulesFile, rulesDynsec, rulesBeside}, map[string]harness.Options{
		rulesNone: r.ours(r.config(r.cachedKeys(), nil)), rulesRights: withRights(20), rulesRights2: withRights(200), rulesTopics: withRights(20),
		rulesFile: byFile, rulesDynsec: byDynsec, rulesBeside: beside,
	}
}

// deliveries are the trials of partDelivery.
func (r *rig) deliveries(v brokers.Version, window time.Duration) (all []trial) {
	names, options := r.authorities()
	for _, name := range names {
		all = append(all, trial{version: v.Name, part: partDelivery, name: oneToMany + name, reference: name == rulesNone, run: func(st *stand) sample {
			return r.deliver(st, v, name, options[name], manySubscribers, func(c *crowd) (int, error) { return c.inTurn(window) })
		}})
	}
	for _, name := range names {
		all = append(all, trial{version: v.Name, part: partDelivery, name: oneToOne + name, reference: name == rulesNone, run: func(st *stand) sample {
			return r.deliver(st, v, name, options[name], 1, func(c *crowd) (int, error) { return c.atRate(window) })
		}})
	}
	return all
}

// partCheck is what one access check costs, in C and Go together, without a broker around it: with more topics in turn than C remembers
// Go's answers about, and with one.
const (
	partCheck        = "check"
	perCheck  metric = "ns"
)

var accessChecks = []struct {
	name, who string
	topics    int
	most      float64 // ns
}{
	{"access check, 20 rules, C and Go", rulesRights, 16, mostCheck20},
	{"access check, 200 rules, C and Go", rulesRights2, 16, mostCheck200},
	{"access check of a topic like the one before", rulesRights2, 1, mostCheckAgain},
}

// checks are the trials of partCheck.
func (r *rig) checks() (all []trial) {
	_, options := r.authorities()
	for _, c := range accessChecks {
		all = append(all, trial{part: partCheck, name: c.name, run: func(st *stand) sample { return r.check(st, options[c.who], c.topics) }})
	}
	return all
}

// checked finds the result of packaging/host.c.
var checked = regexp.MustCompile(`access 0, ([0-9.]+) ns`)

func (r *rig) check(st *stand, o harness.Options, topics int) sample {
	file := filepath.Join(st.TempDir(), "jwt.json")
	st.must(os.WriteFile(file, []byte(o.Plugins[0].Files["jwt.json"]), 0o600))
	token, _ := r.oneSubject()
	argv := []string{harness.Library(st), file, token, "--", "300000"}
	for i := range topics {
		argv = append(argv, strings.Replace(deliveryTopic, "00", fmt.Sprint(i), 1))
	}
	out, err := exec.Command(r.host, argv...).CombinedOutput()
	st.must(err)
	found := checked.FindSubmatch(out)
	if found == nil {
		st.Fatalf("bench: %s", out)
	}
	ns, err := strconv.ParseFloat(string(found[1]), 64)
	st.must(err)
	return sample{perCheck: ns}
}

// deliver has messages sent, and returns what each delivery has cost.
func (r *rig) deliver(st *stand, v brokers.Version, name string, o harness.Options, subscribers int, send func(*crowd) (sent int, err error)) sample {
	st.mayOpen(subscribers + 200)
	b := r.broker(st, v, o)
	b.RaiseFileLimit(subscribers + 200)
	c := r.crowd(st, b.URL(0), o, subscribers)
	if name == rulesTopics {
		c.topics = 16
	}
	_, err := send(c) // caches are empty, and code is not yet in memory
	st.must(err)

	before, err := usageOf(b.PID())
	st.must(err)
	begin := time.Now()
	c.came = 0
	sent, err := send(c)
	st.must(err)
	lasted := time.Since(begin)
	after, err := usageOf(b.PID())
	st.must(err)
	spent := after.minus(before)
	if c.came == 0 {
		st.Fatalf("bench: none of %d messages was delivered", sent)
	}
	return sample{
		deliveries: float64(c.came) / lasted.Seconds(), undelivered: float64(sent*subscribers - c.came),
		cpuDelivery: us(spent.all) / float64(c.came), cpuDeliveryMain: us(spent.main) / float64(c.came),
	}
}

// crowd is one publisher and its subscribers, with MQTT 3.1.1 and QoS 0: sockets that one thread serves.
type crowd struct {
	publisher   int
	subscribers []int
	poll        int
	packet      []byte // a publish; its topic has a number, of which there are so many in turn
	topics      int
	sent        int
	came        int // messages, by all subscribers
	bytes       int // of the next
	buffer      [64 << 10]byte
}

// crowd connects them, and has them subscribe.
func (r *rig) crowd(st *stand, url string, o harness.Options, subscribers int) *crowd {
	password, _ := r.oneSubject()
	if o.Passwords != nil {
		password = "a password"
	}
	in := st.fill(url, password, subscribers+1, patient)
	publish := append([]byte{0x30, byte(2 + len(deliveryTopic) + 16), 0, byte(len(deliveryTopic))}, deliveryTopic...)
	c := &crowd{publisher: in[0], subscribers: in[1:], packet: append(publish, make([]byte, 16)...), topics: 1}
	var err error
	c.poll, err = syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	st.must(err)
	st.Cleanup(func() { _ = syscall.Close(c.poll) })
	for _, s := range c.subscribers {
		st.must(syscall.EpollCtl(c.poll, syscall.EPOLL_CTL_ADD, s, &syscall.EpollEvent{Events: syscall.EPOLLIN, Fd: int32(s)}))
		st.subscribe(s, deliveryFilter)
	}
	return c
}

// inTurn sends one message after the other, each when all have got the one before.
func (c *crowd) inTurn(window time.Duration) (sent int, err error) {
	for end := time.Now().Add(window); time.Now().Before(end); {
		if err := c.publish(1); err != nil {
			return sent, err
		}
		sent++
		if err := c.receive(len(c.subscribers)); err != nil {
			return sent, err
		}
	}
	return sent, nil
}

// atRate sends messages at pairRate, whatever has become of those before, and waits for the last ones.
func (c *crowd) atRate(window time.Duration) (sent int, err error) {
	const batch = int(pairRate * pairBatch / time.Second)
	begin := time.Now()
	before := c.came
	for due := begin; due.Sub(begin) < window; due = due.Add(pairBatch) {
		for time.Now().Before(due) {
			if err := c.serve(); err != nil {
				return sent, err
			}
		}
		if err := c.publish(batch); err != nil {
			return sent, err
		}
		sent += batch
	}
	return sent, c.receive(sent - (c.came - before))
}

// publish sends so many messages at once.
func (c *crowd) publish(count int) error {
	var packets []byte
	for range count {
		at := len(packets) + 4 + strings.IndexByte(deliveryTopic, '0')
		packets = append(packets, c.packet...)
		packets[at], packets[at+1] = '0'+byte(c.sent%c.topics/10), '0'+byte(c.sent%c.topics%10)
		c.sent++
	}
	for len(packets) > 0 {
		n, err := syscall.Write(c.publisher, packets)
		if err != nil && !errors.Is(err, syscall.EAGAIN) && !errors.Is(err, syscall.EINTR) {
			return fmt.Errorf("bench: %w", err)
		}
		packets = packets[max(n, 0):]
		if err := c.serve(); err != nil {
			return err
		}
	}
	return nil
}

// receive waits until so many more messages have come. What does not come within grace of the one before is not delivered.
func (c *crowd) receive(count int) error {
	want := c.came + count
	for last, was := time.Now(), c.came; c.came < want && time.Since(last) < patient/10; {
		if err := c.serve(); err != nil {
			return err
		}
		if c.came != was {
			last, was = time.Now(), c.came
		}
	}
	return nil
}

// serve takes what has come, if there is anything. It does not sleep, as a load does not.
func (c *crowd) serve() error {
	var events [256]syscall.EpollEvent
	n, err := syscall.EpollWait(c.poll, events[:], 0)
	if err != nil && !errors.Is(err, syscall.EINTR) {
		return fmt.Errorf("bench: epoll: %w", err)
	}
	for _, e := range events[:max(n, 0)] {
		n, err := syscall.Read(int(e.Fd), c.buffer[:])
		switch {
		case errors.Is(err, syscall.EAGAIN):
		case err != nil || n == 0:
			return errors.New("bench: a subscriber was disconnected")
		}
		c.bytes += max(n, 0)
	}
	c.came += c.bytes / len(c.packet)
	c.bytes %= len(c.packet)
	return nil
}
