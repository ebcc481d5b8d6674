package main

import (
	"errors"
	"fmt"
	"time"

	"go-jwt-auth/idp"
	"go-jwt-auth/test/harness"
)

// stormClients is how many clients log in at a time.
const stormClients = 32

// retryPause is how long a client waits after a login that failed, whether the broker closed the connection, as with
// onRetry, or refused it. No client spins on a failure.
const retryPause = 50 * time.Millisecond

// tokens are made before anything is measured, one for each client, since to sign one takes longer than to check it.
type tokens struct {
	publisher, subscriber string
	storm                 [stormClients]string
}

func newTokens(p *idp.Provider) *tokens {
	const lifetime = 24 * time.Hour
	t := &tokens{publisher: p.Token("publisher", lifetime), subscriber: p.Token("subscriber", lifetime)}
	for i := range t.storm {
		t.storm[i] = p.Token(fmt.Sprint("storm-", i), lifetime)
	}
	return t
}

// login is a client's CONNECT in this scenario: with its token, or anonymous. The keep-alive is longer than any
// measurement, as the subscriber sends nothing.
func (s scenario) login(id, token string) harness.Login {
	l := harness.Login{ClientID: id, KeepAlive: 3600}
	if s.plugin {
		l.Username, l.Password = new("whoever"), &token
	}
	return l
}

// stormLogins are those of the storm's clients.
func (s scenario) stormLogins(t *tokens) []harness.Login {
	logins := make([]harness.Login, stormClients)
	for i := range logins {
		logins[i] = s.login(fmt.Sprint("storm-", i), t.storm[i])
	}
	return logins
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
		return nil, errors.Join(fmt.Errorf("blocking: client %s was %v", l.ClientID, answer), err)
	}
}
