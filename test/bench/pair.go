package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"

	"go-jwt-auth/test/harness"
)

// pairInterval is the time from one message of the pair to the next.
const pairInterval = 5 * time.Millisecond

// lost is the latency, in ms, of a message that did not arrive, so that it counts as the longest.
const lost = 1e6

const topic = "pair"

// pair is a publisher and a subscriber that were connected before the storm.
type pair struct{ publisher, subscriber *harness.Raw }

// pair connects both by tokens that the storm does not use, and returns when the subscription is granted.
func (r *rig) pair(st *stand, url string) *pair {
	tokens := r.keys.tokens[eddsa]
	p := &pair{}
	for n, c := range []**harness.Raw{&p.subscriber, &p.publisher} {
		var err error
		*c, err = admit(url, login(fmt.Sprint("pair-", n), tokens[n]))
		st.must(err)
		st.Cleanup((*c).Close)
	}
	st.must(p.subscribe())
	return p
}

// admit connects until the broker lets the client in: where it closes the connection instead of an answer, the client
// comes back. A refusal is final.
func admit(url string, l harness.Login) (*harness.Raw, error) {
	for deadline := time.Now().Add(patient); ; time.Sleep(retryPause) {
		r, err := harness.Dial(url, harness.V311)
		if err != nil {
			return nil, err
		}
		answer, err := r.Connect(l)
		if err == nil && answer.Accepted() {
			return r, nil
		}
		r.Close()
		if err == nil && answer.Closed && time.Now().Before(deadline) {
			continue
		}
		return nil, errors.Join(fmt.Errorf("bench: client %s was %v", l.ClientID, answer), err)
	}
}

// subscribe wants QoS 0 (MQTT 3.1.1 §3.8).
func (p *pair) subscribe() error {
	packet := append([]byte{0x82, byte(5 + len(topic)), 0, 1, 0, byte(len(topic))}, topic...)
	if err := p.subscriber.Send(append(packet, 0)); err != nil {
		return err
	}
	answer, err := p.subscriber.Next()
	if err != nil {
		return err
	}
	if ack, ok := answer.(*packets.SubackPacket); !ok || len(ack.ReturnCodes) != 1 || ack.ReturnCodes[0] != 0 {
		return fmt.Errorf("bench: %v instead of a granted subscription", answer)
	}
	return nil
}

// last is the number of the message behind all others. Messages of one publisher arrive in order, so what is not there
// when the last one comes is lost.
const last = 1<<32 - 1

// message is PUBLISH with QoS 0 (MQTT 3.1.1 §3.3) and a number.
func message(number uint32) []byte {
	b := append([]byte{0x30, byte(2 + len(topic) + 4), 0, byte(len(topic))}, topic...)
	return binary.BigEndian.AppendUint32(b, number)
}

// exchange sends a message at each interval until over, whatever has become of those before, then calls settle, and waits for
// those that are still under way. It returns the time from publish to receipt of each, lost for those that did not come.
func (p *pair) exchange(interval time.Duration, over func() bool, settle func()) (latencies []time.Duration, err error) {
	var came map[uint32]time.Time
	var receiving sync.WaitGroup
	receiving.Go(func() { came, err = p.receive() })
	var sent []time.Time
	for due := time.Now(); !over(); due = due.Add(interval) {
		time.Sleep(time.Until(due))
		sent = append(sent, time.Now())
		_ = p.publisher.Send(message(uint32(len(sent) - 1))) // what is not sent is lost
	}
	settle()
	if p.publisher.Send(message(last)) != nil {
		p.subscriber.Close() // nothing is to come any more
	}
	receiving.Wait()
	latencies = make([]time.Duration, len(sent))
	for i, at := range sent {
		latencies[i] = lost * time.Millisecond
		if then, ok := came[uint32(i)]; ok {
			latencies[i] = then.Sub(at)
		}
	}
	if err != nil {
		err = fmt.Errorf("bench: the pair was parted: %w", err)
	}
	return latencies, err
}

// receive takes messages until the last one or an error, and returns when each came.
func (p *pair) receive() (came map[uint32]time.Time, err error) {
	came = map[uint32]time.Time{}
	for {
		packet, err := p.subscriber.Next()
		now := time.Now()
		if err != nil {
			return came, err
		}
		publish, ok := packet.(*packets.PublishPacket)
		if !ok || len(publish.Payload) != 4 {
			return came, errors.New("the subscriber got something else than the publisher's messages")
		}
		number := binary.BigEndian.Uint32(publish.Payload)
		if number == last {
			return came, nil
		}
		came[number] = now
	}
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
