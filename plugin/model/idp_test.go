package model

import (
	"cmp"
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
	Subject, Issuer string    // Issuer is empty where the token has none
	Tenant          string    // as Issuer
	Room            string    // where it may publish and subscribe; empty: nowhere
	Expires         time.Time // zero: never
	Opaque          bool      // it is not a JWT
	Key             string    // what it is signed by: a secret, a key, or what nobody trusts
	IDP             int       // who has issued it
	Revoked         bool
	// number orders tokens; latest is the moment of the last attempt to log in by it, admitted how many were.
	number, latest, admitted int
	// byAuth: somebody has come by it by enhanced authentication.
	byAuth bool
}

const forged = "forged"

// keys are Ed25519 keys by name.
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

// sign writes the token as a JWT: by HS256 where its key is a secret, else by EdDSA. A forgery names a trusted key. An opaque one
// says nothing.
func (k *keys) sign(t *token, trusted string) {
	if t.Opaque {
		t.Text = "opaque-" + t.Name
		return
	}
	signer := t.Key
	if signer == forged {
		signer = forged + trusted
	}
	header := object{"alg": "EdDSA", "kid": kidOf(trusted)}
	secret := strings.HasPrefix(trusted, "secret")
	if secret {
		header = object{"alg": "HS256"}
	}
	text := segment(header) + "." + segment(t.claims())
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

// claims are what a token says, or an answer about it.
func (t *token) claims() object {
	all := object{"sub": t.Subject, "jti": t.Name}
	if t.Issuer != "" {
		all["iss"] = t.Issuer
	}
	if t.Tenant != "" {
		all["tid"] = t.Tenant
	}
	if t.Room != "" {
		all[rightsClaim] = object{"publish": room(t.Room), "subscribe": []string{room(t.Room)}}
	}
	if !t.Expires.IsZero() {
		all["exp"] = t.Expires.Unix()
	}
	return all
}

// keyName names a key of an identity provider. Of its number alone is the kid, so that two of them have one kid.
func keyName(idp, number int) string { return fmt.Sprintf("idp%d key-%d", idp, number) }

func kidOf(key string) string { return key[strings.LastIndexByte(key, ' ')+1:] }

func segment(members object) string {
	return base64.RawURLEncoding.EncodeToString(must(json.Marshal(members)))
}

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

// manner is how an identity provider answers.
type manner string

const (
	prompt  manner = "prompt"  // at once
	holding manner = "holding" // when it is let, if ever
	failing manner = "failing" // by 500
	// mistaken is prompt, but its document is another's.
	mistaken manner = "mistaken"
)

// asker is a provider of a file, as an identity provider knows it: by the name that it sends along.
type asker struct {
	idp  int
	name string
}

func (a asker) String() string {
	if a.name == "" {
		return fmt.Sprintf("idp%d", a.idp)
	}
	return fmt.Sprintf("idp%d, by %s,", a.idp, a.name)
}

// askerHeader says who asks for keys.
const askerHeader = "X-Provider"

// idp is an identity provider: a key set and an introspection endpoint. What it answers it decides when the request
// comes in; so a late answer can be out of date.
type idp struct {
	number int
	keys   *keys
	find   func(text string) *token
	inbox  *inbox

	mu     sync.Mutex
	manner manner
	names  []string // of its keys, the last one signs
	held   []*request
	seen   int
}

type request struct {
	about string
	let   chan bool // true: it is answered
}

// happening is what an identity provider has seen or done.
type happening struct {
	kind    kind
	asker   asker
	request int    // its number
	token   *token // nil: it is about the keys, or the document
	about   string
	active  bool     // with answered, about a token
	keys    []string // with answered, about the keys
	at      time.Time
}

type kind uint8

const (
	asked    kind = iota // about a token, for the keys or for the document
	answered             // whether it is active, or with what was asked for
	failed               // to do so
)

// inbox takes events from the identity providers' goroutines.
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
		return cmp.Or(a.token.order()-b.token.order(), a.asker.idp-b.asker.idp, strings.Compare(a.asker.name, b.asker.name))
	})
	return events
}

// order is the token's among all; keys come before them.
func (t *token) order() int {
	if t == nil {
		return -1
	}
	return t.number
}

func (p *idp) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodHead {
		return
	}
	about, by, t := theKeys, asker{p.number, r.Header.Get(askerHeader)}, (*token)(nil)
	plain := r.URL.Path == "/check"
	switch {
	case r.URL.Path == "/.well-known/openid-configuration":
		about = theDocument
	case plain || r.URL.Path == "/introspect":
		if !plain {
			by.name, _, _ = r.BasicAuth()
		}
		if t = p.find(r.PostFormValue("token")); t == nil { // a password, which mode introspection can't tell from a token
			_, _ = w.Write([]byte(`{"active":false}`))
			return
		}
		about = t.Name
	}
	what := about
	if by.name != "" {
		about += " for " + by.name
	}
	p.mu.Lock()
	p.seen++
	told := happening{kind: answered, asker: by, request: p.seen, token: t, about: what}
	status, body := p.answer(&told, plain)
	manner, held := p.manner, &request{about: about, let: make(chan bool, 1)}
	if manner == holding {
		p.held = append(p.held, held)
		slices.SortStableFunc(p.held, func(a, b *request) int { return strings.Compare(a.about, b.about) })
	}
	p.mu.Unlock()
	p.inbox.put(happening{kind: asked, asker: by, request: told.request, token: t, about: what})
	if manner == holding {
		select {
		case answers := <-held.let:
			if !answers {
				manner = failing
			}
		case <-r.Context().Done():
			p.forget(held)
			manner = failing
		}
	}
	if manner == failing || manner == mistaken && what == theDocument {
		told.kind = failed
	}
	p.inbox.put(told)
	if manner == failing {
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	w.WriteHeader(status)
	_, _ = w.Write(body)
}

// What is asked for, besides tokens.
const (
	theKeys     = "the keys"
	theDocument = "the document"
)

// documentOf is that of OpenID Connect Discovery.
func documentOf(idp int) []byte {
	at := realm(idp)
	return must(json.Marshal(object{"issuer": at, "jwks_uri": at + "/keys", "introspection_endpoint": at + "/introspect"}))
}

// answer is what there is to say at this moment: as RFC 7662 has it, or plain. p.mu is held.
func (p *idp) answer(told *happening, plain bool) (status int, body []byte) {
	t := told.token
	switch {
	case told.about == theDocument && p.manner == mistaken:
		return http.StatusOK, documentOf((p.number + 1) % idps)
	case told.about == theDocument:
		return http.StatusOK, documentOf(p.number)
	case t == nil:
		told.keys = slices.Clone(p.names)
		set := []object{}
		for _, name := range p.names {
			public := p.keys.get(name).Public().(ed25519.PublicKey)
			set = append(set, object{"kty": "OKP", "crv": "Ed25519", "kid": kidOf(name), "x": base64.RawURLEncoding.EncodeToString(public)})
		}
		return http.StatusOK, must(json.Marshal(object{"keys": set}))
	}
	told.active = t.IDP == p.number && t.Key != forged && !t.Revoked
	members := object{"active": false}
	switch {
	case plain && !told.active && t.number%2 == 0:
		return http.StatusForbidden, nil
	case plain:
		members = object{"token": object{"isGood": told.active}}
	case told.active:
		members = t.claims()
		members["active"] = true
	}
	return http.StatusOK, must(json.Marshal(members))
}

func (p *idp) revoke(t *token) {
	p.mu.Lock()
	defer p.mu.Unlock()
	t.Revoked = true
}

func (p *idp) rotate(names ...string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.names = names
}

func (p *idp) behave(m manner) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.manner = m
}

// waiting are what the requests are about that are held.
func (p *idp) waiting() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var all []string
	for _, r := range p.held {
		all = append(all, r.about)
	}
	return all
}

// let ends the wait of a held request, by an answer or by 500.
func (p *idp) let(i int, answers bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.held[i].let <- answers
	p.held = slices.Delete(p.held, i, i+1)
}

func (p *idp) forget(r *request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.held = slices.DeleteFunc(p.held, func(other *request) bool { return other == r })
}

// network is where identity providers listen. It is in memory, as goroutines that wait for a real socket would hide from
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
