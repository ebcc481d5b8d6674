// Package ui serves the page of `go-jwt-auth ui`: who is connected, who was refused and why, how the providers do, and a button that
// disconnects. It listens on loopback alone, and speaks $CONTROL for its page, which never sees the admin's credentials.
package ui

import (
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log"
	"net"
	"net/http"
	"path"
	"strings"
	"sync"
	"time"

	"go-jwt-auth/cmd/internal/control"
)

//go:embed page
var files embed.FS

// types of the files. What has none is not served.
var types = map[string]string{
	".html": "text/html; charset=utf-8", ".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml",
}

const (
	// maxBody of a request in bytes: a client id has 65,535 at most, each of which may be six of JSON.
	maxBody = 512 << 10
	// aliveEvery is how often a page hears something, by which it knows that this process lives.
	aliveEvery = 10 * time.Second
	// writeTimeout is how long a page may take no byte.
	writeTimeout = 30 * time.Second
	// readTimeout is how long a request may take to come.
	readTimeout = 10 * time.Second
	// endWithin is how long requests have that are under way when the server ends.
	endWithin = 2 * time.Second
)

// Options say what is served.
type Options struct {
	Listen  string // "127.0.0.1:0"; port 0 is a free one
	Client  *control.Client
	Version string // the tool's, shown on the page
	// Address is called with each address that opens a page, as soon as the one before has been used.
	Address func(string)
	// Opens: Address opens the first one in a browser, by a command line that others can read.
	Opens bool
}

// Server is the page's.
type Server struct {
	listener net.Listener
	host     string
	access   *access
	feed     *feed
	options  Options
	guides   []byte
	// readTimeout is the constant, but for tests.
	readTimeout time.Duration
}

// Listen prepares a Server. It refuses what other machines can reach.
func Listen(o Options) (*Server, error) {
	listener, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", o.Listen)
	if err != nil {
		return nil, err
	}
	if !loopback(listener) {
		_ = listener.Close()
		return nil, fmt.Errorf("%s %w", o.Listen, errNotLoopback)
	}
	// Browsers leave out the port 80 of http.
	s := &Server{
		listener: listener, host: strings.TrimSuffix(listener.Addr().String(), ":80"), options: o, readTimeout: readTimeout,
		feed: newFeed(o.Client, time.After), guides: encode(guides()),
	}
	s.access = newAccess(o.Opens, func(ticket string) { o.Address("http://" + s.host + "/#" + ticket) })
	return s, nil
}

// Serve serves until ctx ends.
func (s *Server) Serve(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	server := &http.Server{
		Handler: s.handler(), ReadHeaderTimeout: 10 * time.Second, MaxHeaderBytes: 16 << 10, IdleTimeout: 2 * time.Minute,
		ErrorLog:    log.New(io.Discard, "", 0),
		BaseContext: func(net.Listener) context.Context { return ctx },
	}
	var ends sync.WaitGroup
	defer ends.Wait()
	defer cancel()
	ends.Go(func() { s.feed.run(ctx) })
	ends.Go(func() {
		<-ctx.Done() // which ends the streams, too
		last, cancel := context.WithTimeout(context.WithoutCancel(ctx), endWithin)
		defer cancel()
		if server.Shutdown(last) != nil {
			_ = server.Close()
		}
	})
	if err := server.Serve(s.listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// commands that the page may give, each by POST /api/NAME with its arguments as the body.
var commands = []string{"getSession", "disconnectSession", "removeBlock"}

func (s *Server) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /", serveFile)
	mux.HandleFunc("POST /api/open", s.open)
	mux.HandleFunc("GET /api/events", s.keyed(s.events))
	mux.HandleFunc("GET /api/guides", s.keyed(func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, http.StatusOK, s.guides) }))
	for _, command := range commands {
		mux.HandleFunc("POST /api/"+command, s.keyed(func(w http.ResponseWriter, r *http.Request) { s.command(w, r, command) }))
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		headers(w.Header())
		// The body as well: the server reads the rest of one that it refuses. A connection that stays idle gets another deadline.
		_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(s.readTimeout))
		if !fromHere(r, s.host) {
			writeError(w, http.StatusForbidden, errElsewhere)
			return
		}
		if r.Method == http.MethodPost && r.Header.Get("Content-Type") != "application/json" { // a form's are sent without asking
			writeError(w, http.StatusUnsupportedMediaType, errors.New("must be application/json"))
			return
		}
		mux.ServeHTTP(w, r)
	})
}

// keyed lets pages in that have a key. It comes in a header, and in no cookie: those of 127.0.0.1 are sent to whatever listens at
// any port of this machine, also by other users, and with requests that other pages have made.
func (s *Server) keyed(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		key, bearer := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		if !bearer || !s.access.admits(key) {
			writeError(w, http.StatusUnauthorized, errNoTicket)
			return
		}
		next(w, r)
	}
}

func serveFile(w http.ResponseWriter, r *http.Request) {
	name := "page" + path.Clean(r.URL.Path)
	if r.URL.Path == "/" {
		name = "page/index.html"
	}
	text, err := fs.ReadFile(files, name)
	kind := types[path.Ext(name)]
	if err != nil || kind == "" {
		writeError(w, http.StatusNotFound, errors.New("there is no such file"))
		return
	}
	w.Header().Set("Content-Type", kind)
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(writeTimeout))
	_, _ = w.Write(text) //nolint:gosec // one of the embedded files
}

// open gives a page its key.
func (s *Server) open(w http.ResponseWriter, r *http.Request) {
	var asked struct {
		Ticket string `json:"ticket"`
	}
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1024)).Decode(&asked); err != nil {
		writeError(w, http.StatusBadRequest, err)
		return
	}
	key, err := s.access.open(asked.Ticket, func() bool { return fromMyUser(r) })
	if err != nil {
		writeError(w, http.StatusUnauthorized, err)
		return
	}
	writeJSON(w, http.StatusOK, encode(map[string]string{"key": key}))
}

// events is what the broker says, a line of JSON each, for as long as the page is there and has its key.
func (s *Server) events(w http.ResponseWriter, r *http.Request) {
	key := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	w.Header().Set("Content-Type", "application/x-ndjson")
	out := http.NewResponseController(w)
	_, _ = io.Copy(io.Discard, http.MaxBytesReader(w, r.Body, 1024)) // a GET has none
	_ = out.SetReadDeadline(time.Time{})
	place, leave := s.feed.enter()
	defer leave()
	lines := [][]byte{encode(map[string]string{"type": "about", "version": s.options.Version, "broker": s.options.Client.URL()})}
	for s.access.admits(key) {
		more, wake := s.feed.next(place)
		for _, line := range append(lines, more...) {
			if out.SetWriteDeadline(time.Now().Add(writeTimeout)) != nil {
				return
			}
			if _, err := w.Write(line); err != nil {
				return
			}
		}
		if out.Flush() != nil {
			return
		}
		lines = nil
		select {
		case <-r.Context().Done():
			return
		case <-wake:
		case <-time.After(aliveEvery):
			lines = [][]byte{[]byte(`{"type":"alive"}` + "\n")}
		}
	}
}

// stillTheirs takes the member "shown" out of a command: the client that was shown before the question. Somebody else may have come by
// its id meanwhile, whom the answer is not about.
func (s *Server) stillTheirs(ctx context.Context, args map[string]json.RawMessage) error {
	text, has := args["shown"]
	if !has {
		return nil
	}
	delete(args, "shown")
	var shown control.Session
	if err := json.Unmarshal(text, &shown); err != nil {
		return err
	}
	now, err := s.options.Client.GetSession(ctx, shown.ClientID)
	if err == nil && now.Whose() != shown.Whose() {
		err = errors.New("this client id is another's now than the one that was shown: nothing is done")
	}
	return err
}

// command hands a command on, and its answer back.
func (s *Server) command(w http.ResponseWriter, r *http.Request, command string) {
	var args map[string]json.RawMessage
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody)).Decode(&args); err != nil {
		writeError(w, http.StatusBadRequest, err)
		return
	}
	_ = http.NewResponseController(w).SetReadDeadline(time.Time{}) // it has come
	if err := s.stillTheirs(r.Context(), args); err != nil {
		writeError(w, http.StatusConflict, err)
		return
	}
	data, err := s.options.Client.Do(r.Context(), command, args)
	if errors.As(err, new(*control.AnswerError)) {
		writeError(w, http.StatusConflict, err)
		return
	}
	if err != nil {
		writeError(w, http.StatusBadGateway, err)
		return
	}
	if command != "getSession" {
		s.feed.hurry()
	}
	writeJSON(w, http.StatusOK, data)
}

func writeJSON(w http.ResponseWriter, status int, text []byte) {
	w.Header().Set("Content-Type", "application/json")
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(writeTimeout))
	w.WriteHeader(status)
	_, _ = w.Write(text)
}

func writeError(w http.ResponseWriter, status int, err error) {
	writeJSON(w, status, encode(map[string]string{"error": err.Error()}))
}
