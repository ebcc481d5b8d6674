package model

import (
	"context"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// token is a token with the truth about it.
type token struct {
	Name, Text      string
	Subject, Issuer string
	Expires         time.Time // zero: never
	Key             string    // what it is signed by: a secret, a key id, or what nobody trusts
	Provider        int
	Revoked         bool
	// number orders tokens; latest is the moment of the last attempt to log in by it, admitted how many were.
	number, latest, admitted int
}

const forged = "forged"

// keys are Ed25519 keys by key id.
type keys struct{ private map[string]ed25519.PrivateKey }

func (k *keys) get(id string) ed25519.PrivateKey {
	if k.private == nil {
		k.private = map[string]ed25519.PrivateKey{}
	}
	if _, made := k.private[id]; !made {
		seed := sha256.Sum256([]byte(id))
		k.private[id] = ed25519.NewKeyFromSeed(seed[:])
	}
	return k.private[id]
}

// sign writes the token as a JWT: by HS256 where its key is a secret, else by EdDSA. A forgery names a trusted key.
func (k *keys) sign(t *token, trusted string) {
	signer := t.Key
	if signer == forged {
		signer = forged + trusted
	}
	claims := map[string]any{"sub": t.Subject, "jti": t.Name, "iss": t.Issuer}
	if !t.Expires.IsZero() {
		claims["exp"] = t.Expires.Unix()
	}
	header := map[string]any{"alg": "EdDSA", "kid": trusted}
	secret := strings.HasPrefix(trusted, "secret")
	if secret {
		header = map[string]any{"alg": "HS256"}
	}
	text := segment(header) + "." + segment(claims)
	var signature []byte
	if secret {
		mac := hmac.New(sha256.New, []byte(signer))
		mac.Write([]byte(text))
		signature = mac.Sum(nil)
	} else {
		signature = ed25519.Sign(k.get(signer), []byte(text))
	}
	t.Text = text + "." + base64.RawURLEncoding.EncodeToString(signature)
}

func segment(members map[string]any) string {
	return base64.RawURLEncoding.EncodeToString(must(json.Marshal(members)))
}

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

// manner is how a provider answers.
type manner string

const (
	prompt  manner = "prompt"  // at once
	holding manner = "holding" // when it is let, if ever
	failing manner = "failing" // by 500
)

// provider is an identity provider: a key set and an introspection endpoint. What it answers it decides when the request
// comes in; so a late answer can be out of date.
type provider struct {
	number int
	keys   *keys
	find   func(text string) *token
	inbox  *inbox

	mu     sync.Mutex
	manner manner
	kids   []string
	held   []*request
	seen   int
}

type request struct {
	about string
	let   chan bool // true: it is answered
}

// happening is what a provider has seen or done.
type happening struct {
	kind     kind
	provider int
	request  int      // its number
	token    *token   // but with published
	active   bool     // with answered
	kids     []string // with published
	at       time.Time
}

type kind uint8

const (
	asked     kind = iota // about a token
	answered              // whether it is active
	failed                // to say so
	published             // the keys
)

// inbox takes events from the providers' goroutines.
type inbox struct {
	mu     sync.Mutex
	events []happening
}

func (i *inbox) put(e happening) {
	i.mu.Lock()
	defer i.mu.Unlock()
	e.at = time.Now()
	i.events = append(i.events, e)
}

func (i *inbox) take() []happening {
	i.mu.Lock()
	defer i.mu.Unlock()
	events := i.events
	i.events = nil
	// Goroutines run in any order; what they did in one move is looked at in the same.
	slices.SortStableFunc(events, func(a, b happening) int {
		if a.token == nil || b.token == nil || a.token == b.token {
			return 0
		}
		return a.token.number - b.token.number
	})
	return events
}

func (p *provider) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodHead {
		return
	}
	t := p.find(r.PostFormValue("token"))
	about := "the keys"
	if r.URL.Path == "/introspect" {
		if t == nil { // a password, which mode introspection can't tell from a token
			_, _ = w.Write([]byte(`{"active":false}`))
			return
		}
		about = t.Name
	}
	p.mu.Lock()
	p.seen++
	body, told := p.answer(r.URL.Path, t)
	told.request = p.seen
	manner, held := p.manner, &request{about: about, let: make(chan bool, 1)}
	if manner == holding {
		p.held = append(p.held, held)
		slices.SortStableFunc(p.held, func(a, b *request) int { return strings.Compare(a.about, b.about) })
	}
	p.mu.Unlock()
	if told.kind == answered {
		p.inbox.put(happening{kind: asked, provider: p.number, request: told.request, token: t})
	}
	fails := func() {
		if told.kind == answered {
			told.kind = failed
			p.inbox.put(told)
		}
	}
	if manner == holding {
		select {
		case answers := <-held.let:
			if !answers {
				manner = failing
			}
		case <-r.Context().Done():
			p.forget(held)
			fails()
			return
		}
	}
	if manner == failing {
		fails()
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	p.inbox.put(told)
	_, _ = w.Write(body)
}

// answer is what there is to say at this moment. p.mu is held.
func (p *provider) answer(path string, t *token) ([]byte, happening) {
	if path == "/keys" {
		set := []map[string]any{}
		for _, id := range p.kids {
			public := p.keys.get(id).Public().(ed25519.PublicKey)
			set = append(set, map[string]any{"kty": "OKP", "crv": "Ed25519", "kid": id, "x": base64.RawURLEncoding.EncodeToString(public)})
		}
		return must(json.Marshal(map[string]any{"keys": set})), happening{kind: published, provider: p.number, kids: slices.Clone(p.kids)}
	}
	says := happening{kind: answered, provider: p.number, token: t}
	says.active = t.Provider == p.number && t.Key != forged && !t.Revoked
	members := map[string]any{"active": says.active}
	if says.active {
		members["sub"], members["iss"] = t.Subject, t.Issuer
		if !t.Expires.IsZero() {
			members["exp"] = t.Expires.Unix()
		}
	}
	return must(json.Marshal(members)), says
}

func (p *provider) revoke(t *token) {
	p.mu.Lock()
	defer p.mu.Unlock()
	t.Revoked = true
}

func (p *provider) rotate(kids ...string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.kids = kids
}

func (p *provider) behave(m manner) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.manner = m
}

// waiting are what the requests are about that are held.
func (p *provider) waiting() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var all []string
	for _, r := range p.held {
		all = append(all, r.about)
	}
	return all
}

// let ends the wait of a held request, by an answer or by 500.
func (p *provider) let(i int, answers bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.held[i].let <- answers
	p.held = slices.Delete(p.held, i, i+1)
}

func (p *provider) forget(r *request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.held = slices.DeleteFunc(p.held, func(other *request) bool { return other == r })
}

// network is where providers listen. It is in memory, as goroutines that wait for a real socket would hide from
// testing/synctest that nothing else is going on.
type network struct{ listeners map[string]*listener }

func (n network) dial(ctx context.Context, _, address string) (net.Conn, error) {
	host, _, _ := strings.Cut(address, ":")
	l, known := n.listeners[host]
	if !known {
		return nil, fmt.Errorf("nobody listens at %s", host)
	}
	near, far := net.Pipe()
	select {
	case l.conns <- far:
		return near, nil
	case <-l.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (n network) listen(host string) *listener {
	l := &listener{conns: make(chan net.Conn), closed: make(chan struct{})}
	n.listeners[host] = l
	return l
}

// listener is a net.Listener.
type listener struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func (l *listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, errors.New("closed")
	}
}

func (l *listener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (l *listener) Addr() net.Addr { return &net.IPAddr{} }
