package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"

	"go-jwt-auth/test/harness"
)

// pairInterval is the time from one message of the pair to the next.
const pairInterval = 20 * time.Millisecond

// lost is the latency of a message that did not arrive, so that it counts as the longest.
const lost time.Duration = math.MaxInt64

const topic = "pair"

// pair is a publisher and a subscriber that were connected before the storm.
type pair struct{ publisher, subscriber *harness.Raw }

// newPair returns when both are let in and the subscription is granted.
func newPair(url string, publisher, subscriber harness.Login) (*pair, error) {
	p := &pair{}
	var err error
	if p.subscriber, err = admit(url, subscriber); err == nil {
		err = p.subscribe()
	}
	if err == nil {
		p.publisher, err = admit(url, publisher)
	}
	if err != nil {
		p.close()
		return nil, err
	}
	return p, nil
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
		return fmt.Errorf("blocking: %v instead of a granted subscription", answer)
	}
	return nil
}

func (p *pair) close() {
	for _, r := range []*harness.Raw{p.publisher, p.subscriber} {
		if r != nil {
			r.Close()
		}
	}
}

// last is the number of the message behind all others. Messages of one publisher arrive in order, so what is not there
// when the last one comes is lost.
const last = math.MaxUint32

// message is PUBLISH with QoS 0 (MQTT 3.1.1 §3.3) and a number.
func message(number uint32) []byte {
	b := append([]byte{0x30, byte(2 + len(topic) + 4), 0, byte(len(topic))}, topic...)
	return binary.BigEndian.AppendUint32(b, number)
}

// publish sends a message every pairInterval until end, whatever has become of those before, and returns when each was
// sent.
func (p *pair) publish(end time.Time) (sent []time.Time) {
	for due := time.Now(); due.Before(end); due = due.Add(pairInterval) {
		time.Sleep(time.Until(due))
		sent = append(sent, time.Now())
		_ = p.publisher.Send(message(uint32(len(sent) - 1))) // what is not sent is lost
	}
	return sent
}

// finish sends the last message.
func (p *pair) finish() error { return p.publisher.Send(message(last)) }

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
			return came, errors.New("blocking: the subscriber got something else than the publisher's messages")
		}
		number := binary.BigEndian.Uint32(publish.Payload)
		if number == last {
			return came, nil
		}
		came[number] = now
	}
}

// latencies are the times from publish to receipt, in the order of sending.
func latencies(sent []time.Time, came map[uint32]time.Time) []time.Duration {
	all := make([]time.Duration, len(sent))
	for i, at := range sent {
		all[i] = lost
		if then, ok := came[uint32(i)]; ok {
			all[i] = then.Sub(at)
		}
	}
	return all
}
