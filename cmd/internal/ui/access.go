package ui

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net"
	"net/http"
	"slices"
	"sync"
)

// maxPages is how many pages may be open by different addresses. The oldest has to be opened anew beyond that.
const maxPages = 32

// access is who may use the server: pages that were opened by an address that it has printed.
//
// An address works once. It passes through places where others may read it (the command line of whatever opens a browser, the
// browser's history), so what it holds is worth nothing afterwards: the page is given a key in exchange, which never stands in an
// address. An address that comes a second time was seen by somebody else, or was opened twice: the page that it has opened is
// closed then, as RFC 6749 §4.1.2 has it for codes.
type access struct {
	mu      sync.Mutex
	ticket  string            // what the next address holds
	pages   map[digest]digest // key → the ticket that it was given for
	used    []digest          // tickets, the latest last
	listed  bool              // ticket stands in the list of processes
	printed func(ticket string)
}

// digest of a ticket or key: what is looked up in a map by it takes no time that tells of the secret.
type digest [sha256.Size]byte

func digestOf(secret string) digest { return sha256.Sum256([]byte(secret)) }

// newAccess calls printed with each ticket that is to be in an address from then on, the first included. listed: the first one is
// given to a browser by its command line, where all users of this machine can read it.
func newAccess(listed bool, printed func(ticket string)) *access {
	a := &access{pages: map[digest]digest{}, printed: printed}
	a.renew()
	a.listed = listed
	return a
}

// random is 256 bits, in letters that an address may hold.
func random() string {
	var b [32]byte
	_, _ = rand.Read(b[:]) // which never fails
	return base64.RawURLEncoding.EncodeToString(b[:])
}

func (a *access) renew() {
	a.ticket, a.listed = random(), false
	a.printed(a.ticket)
}

var (
	errUsedTicket = errors.New("this address has been used already; the page that it had opened is closed. Use the one that the terminal shows last. " +
		"If nobody but you can have opened it twice, fine; else end the command and start it again")
	errOthersTicket = errors.New("this address was opened in the desktop's browser by the command itself, and is for that user's programs alone: " +
		"use the one that the terminal shows last")
	errNoTicket = errors.New("this address is not, or no longer, one of this command's: use the one that the terminal shows last")
)

// open gives a page its key for the ticket in its address. mine tells whether the page is this user's.
func (a *access) open(ticket string, mine func() bool) (key string, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	by := digestOf(ticket)
	if by != digestOf(a.ticket) {
		if slices.Contains(a.used, by) {
			a.close(by)
			return "", errUsedTicket
		}
		return "", errNoTicket
	}
	if a.used = append(a.used, by); len(a.used) > maxPages {
		a.close(a.used[0])
		a.used = a.used[1:]
	}
	if a.listed && !mine() {
		a.renew()
		return "", errOthersTicket
	}
	key = random()
	a.pages[digestOf(key)] = by
	a.renew()
	return key, nil
}

// close takes its key from the page that a ticket has opened.
func (a *access) close(ticket digest) {
	for key, by := range a.pages {
		if by == ticket {
			delete(a.pages, key)
		}
	}
}

// admits tells whether a page has this key.
func (a *access) admits(key string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	_, has := a.pages[digestOf(key)]
	return has
}

// errElsewhere is for requests that no page of this server makes.
var errElsewhere = errors.New("this is the page of go-jwt-auth ui, and takes requests of that page alone, by the address that the command has printed")

// fromHere tells whether a request was made by this server's own page, or by a person who opens it. host is what it listens at.
//
// A browser sends the Host that it believes to talk to, which is another's where a name was pointed to loopback (DNS rebinding), and
// with Sec-Fetch-Site and Origin says which page asks: other sites are "cross-site", pages at other ports of this machine
// "same-site". Without the key none of them gets anything anyway.
func fromHere(r *http.Request, host string) bool {
	if r.Host != host {
		return false
	}
	if origin := r.Header.Get("Origin"); origin != "" && origin != "http://"+host {
		return false
	}
	switch r.Header.Get("Sec-Fetch-Site") {
	case "", "same-origin", "none": // older browsers and no browser; this page; a person
		return true
	default: // a link, in a terminal that is a web page, may lead to the page, and to nothing else
		return r.Method == http.MethodGet && r.URL.Path == "/" &&
			r.Header.Get("Sec-Fetch-Mode") == "navigate" && r.Header.Get("Sec-Fetch-Dest") == "document"
	}
}

// headers of all answers. The page runs its own files alone, shows nothing in a frame or to other windows, and is kept nowhere.
func headers(h http.Header) {
	h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "+
		"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "no-store")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=()")
}

// errNotLoopback is why nothing else is listened at.
var errNotLoopback = errors.New("is no loopback address: whoever reaches this page may do what the admin may, by plain HTTP. " +
	"For another machine's browser, have ssh bring the port there: ssh -L 7070:127.0.0.1:7070 HOST, with --listen 127.0.0.1:7070 here")

// loopback tells whether a listener is of this machine alone, whatever its name was resolved to.
func loopback(l net.Listener) bool {
	address, ok := l.Addr().(*net.TCPAddr)
	return ok && address.IP.IsLoopback()
}
