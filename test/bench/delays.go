package main

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"go-jwt-auth/idp"
	"go-jwt-auth/test/brokers"
	"go-jwt-auth/test/harness"
)

// partDelays is how promptly single clients are served without a storm.
const partDelays = "delays"

// Its trials, and their one metric: the longest of fewClients.
const (
	expired       = "a client is disconnected after its token's end"
	pendingLogin  = "a pending login takes more than the endpoint does" // 2.1
	foundInactive = "a client is disconnected after the endpoint called it inactive"

	delay metric = "longest, ms"
)

const (
	fewClients = 20
	// endpointDelay is how long the endpoint takes.
	endpointDelay = 20 * time.Millisecond
)

func (r *rig) delays(v brokers.Version) (all []trial) {
	add := func(name string, run func(st *stand, v brokers.Version) time.Duration) {
		all = append(all, trial{version: v.Name, part: partDelays, name: name, run: func(st *stand) sample {
			return sample{delay: ms(run(st, v))}
		}})
	}
	add(expired, r.untilExpired)
	if v.AtLeast(2, 1) {
		add(pendingLogin, r.pendingLogin)
	}
	add(foundInactive, r.untilFoundInactive)
	return all
}

// untilExpired has clients wait for the end of their tokens.
func (r *rig) untilExpired(st *stand, v brokers.Version) (longest time.Duration) {
	url := r.broker(st, v, r.ours(r.config(r.cachedKeys(), nil))).URL(0)
	ends := time.Now().Truncate(time.Second).Add(2 * time.Second)
	var mu sync.Mutex // guards longest
	var waiting sync.WaitGroup
	for n := range fewClients {
		c, err := admit(url, login(clientID(n), r.keys.byAlg[eddsa].sign(n, ends)))
		st.must(err)
		st.Cleanup(c.Close)
		waiting.Go(func() {
			left, err := c.WaitDisconnect()
			if err != nil {
				st.Errorf("bench: %v", err)
			}
			mu.Lock()
			defer mu.Unlock()
			longest = max(longest, left.At.Sub(ends))
		})
	}
	waiting.Wait()
	return longest
}

// slowly starts a broker whose endpoint takes endpointDelay and gives this answer from now on, and calls do for each client.
func (r *rig) slowly(st *stand, v brokers.Version, check, answer string, do func(url string, l harness.Login) time.Duration) (longest time.Duration) {
	url := r.broker(st, v, r.ours(r.config(r.cachedKeys(), r.introspection(object{"check": check})))).URL(0)
	r.provider.SetAnswer(idp.Introspect, jsonAnswer(fmt.Sprintf(`{"active":%s}`, answer)))
	r.provider.SetDelay(idp.Introspect, endpointDelay)
	defer func() {
		r.provider.SetAnswer(idp.Introspect, jsonAnswer(active))
		r.provider.SetDelay(idp.Introspect, 0)
	}()
	for n := range fewClients {
		longest = max(longest, do(url, login(clientID(n), r.keys.tokens[rs256][n])))
	}
	return longest
}

func (r *rig) pendingLogin(st *stand, v brokers.Version) time.Duration {
	return r.slowly(st, v, "beforeConnect", "true", func(url string, l harness.Login) time.Duration {
		begin := time.Now()
		c, err := admit(url, l)
		took := time.Since(begin)
		st.must(err)
		c.Close()
		return took - endpointDelay
	})
}

func (r *rig) untilFoundInactive(st *stand, v brokers.Version) time.Duration {
	return r.slowly(st, v, "afterConnect", "false", func(url string, l harness.Login) time.Duration {
		begin := time.Now()
		c, err := admit(url, l)
		st.must(err)
		defer c.Close()
		left, err := c.WaitDisconnect()
		st.must(err)
		return left.At.Sub(begin) - endpointDelay
	})
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
