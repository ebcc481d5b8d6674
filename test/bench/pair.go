package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"syscall"
	"time"

	"go-jwt-auth/test/harness"
)

// pairInterval is the time from one message of the pair to the next.
const pairInterval = 5 * time.Millisecond

// lost is the latency, in ms, of a message that did not arrive, so that it counts as the longest.
const lost = 1e6

const topic = "pair"

// pair is a publisher and a subscriber that were connected before the storm: sockets that the load's thread serves.
type pair struct {
	publisher, subscriber int
	sent                  []time.Time
	took                  []time.Duration // from publish to receipt, of each that was sent; lost unless it has come
	came                  []byte          // of the next message
	done                  bool            // the last one has come
}

// pair connects both by tokens that the storm does not use, and returns when the subscription is granted.
func (r *rig) pair(st *stand, url string) *pair {
	enter := func(n int) int {
		return st.enter(url, harness.ConnectPacket(harness.V311, login(fmt.Sprint("pair-", n), r.keys.tokens[eddsa][n])))
	}
	return st.pair(enter(0), enter(1))
}

// pair has one of two clients subscribe to what the other is to publish.
func (st *stand) pair(publisher, subscriber int) *pair {
	st.subscribe(subscriber, topic)
	st.must(syscall.SetsockoptInt(subscriber, syscall.SOL_SOCKET, syscall.SO_TIMESTAMPNS, 1))
	return &pair{publisher: publisher, subscriber: subscriber}
}

// enter connects until the broker lets the client in: where it closes the connection instead of an answer, the client comes back. A
// refusal is final. The socket is closed at the trial's end.
func (st *stand) enter(url string, connect []byte) (socket int) {
	for deadline := time.Now().Add(patient); ; {
		t, err := load{url: url, workers: 1, limit: 1, window: patient, stay: true, next: func(int) []byte { return connect }}.run()
		st.must(err)
		if t.closed > 0 && time.Now().Before(deadline) {
			continue
		}
		st.expect(t, accepted)
		st.Cleanup(func() { _ = syscall.Close(t.in[0]) }) // nothing depends on how it ends
		return t.in[0]
	}
}

// subscribe wants QoS 0 (MQTT 3.1.1 §3.8), and returns when it is granted.
func (st *stand) subscribe(socket int, filter string) {
	packet := append([]byte{0x82, byte(5 + len(filter)), 0, 1, 0, byte(len(filter))}, filter...)
	_, err := syscall.Write(socket, append(packet, 0))
	st.must(err)
	var suback [5]byte
	st.must(waitFor(func() bool {
		n, _ := syscall.Read(socket, suback[:]) // it may not be there yet
		return n == len(suback)
	}, "no SUBACK came"))
	if suback[0] != 0x90 || suback[4] != 0 {
		st.Fatalf("bench: the subscription was refused: % x", suback)
	}
}

// last is the number of the message behind all others. Messages of one publisher arrive in order, so what is not there
// when the last one comes is lost.
const last = 1<<32 - 1

// message is PUBLISH with QoS 0 (MQTT 3.1.1 §3.3) and a number.
func message(number uint32) []byte {
	b := append([]byte{0x30, byte(2 + len(topic) + 4), 0, byte(len(topic))}, topic...)
	return binary.BigEndian.AppendUint32(b, number)
}

// send sends the next message, whatever has become of those before. What can't be sent is lost.
func (p *pair) send() {
	p.took = append(p.took, lost*time.Millisecond)
	p.sent = append(p.sent, time.Now())
	_, _ = syscall.Write(p.publisher, message(uint32(len(p.sent)-1)))
}

// sendLast sends the one after which nothing is waited for.
func (p *pair) sendLast() { _, _ = syscall.Write(p.publisher, message(last)) }

// receive takes a message, or a piece of it. It came when the system got it from the broker, which may be before it is looked for.
func (p *pair) receive(now time.Time) error {
	size := len(message(0))
	var buffer [64]byte
	var control [64]byte
	n, controls, _, _, err := syscall.Recvmsg(p.subscriber, buffer[:size-len(p.came)], control[:], 0)
	if errors.Is(err, syscall.EAGAIN) {
		return nil
	}
	if err != nil || n == 0 {
		return errors.Join(errors.New("bench: the pair was parted"), err)
	}
	if p.came = append(p.came, buffer[:n]...); len(p.came) < size {
		return nil
	}
	number := binary.BigEndian.Uint32(p.came[size-4:])
	if !bytes.Equal(p.came, message(number)) || number != last && int(number) >= len(p.sent) {
		return fmt.Errorf("bench: the subscriber got something else than the publisher's messages: % x", p.came)
	}
	p.came = p.came[:0]
	if number == last {
		p.done = true
		return nil
	}
	p.took[number] = stamp(control[:controls], now).Sub(p.sent[number])
	return nil
}

// stamp is when the system got what was read (SO_TIMESTAMPNS), or otherwise: at first it does not say so, since its stamps are switched
// on in the background.
func stamp(control []byte, otherwise time.Time) time.Time {
	all, _ := syscall.ParseSocketControlMessage(control) // what can't be read says nothing
	for _, m := range all {
		if m.Header.Level == syscall.SOL_SOCKET && m.Header.Type == syscall.SCM_TIMESTAMPNS && len(m.Data) == 16 {
			return time.Unix(int64(binary.NativeEndian.Uint64(m.Data)), int64(binary.NativeEndian.Uint64(m.Data[8:])))
		}
	}
	return otherwise
}

// pairSample are the metrics of a pair's messages.
func pairSample(latencies []time.Duration) sample {
	gone := 0
	for _, l := range latencies {
		if l == lost*time.Millisecond {
			gone++
		}
	}
	return sample{
		pairP50: percentile(latencies, 50), pairP99: percentile(latencies, 99), pairMax: percentile(latencies, 100),
		pairLost: float64(gone),
	}
}
