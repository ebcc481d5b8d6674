package audit

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go-jwt-auth/plugin/config"
	"go-jwt-auth/plugin/event"
	"go-jwt-auth/plugin/verdict"
)

// notes are what the operator was told.
type notes struct {
	mu  sync.Mutex
	all []string
}

func (n *notes) add(note event.Note) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.all = append(n.all, note.Text)
}

func (n *notes) String() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return strings.Join(n.all, "\n")
}

func mustOpen(t *testing.T, trails *Trails, cfg config.Audit, told *notes) *Trail {
	t.Helper()
	trail, err := trails.Open(cfg, told.add)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { trail.Close(time.Minute) })
	return trail
}

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// await waits until a condition is met.
func await(t *testing.T, what string, met func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !met(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: in vain", what)
		}
	}
}

var noon = time.Date(2026, 11, 29, 12, 0, 0, 123456789, time.UTC)

// The members of the lines are documented, and stay.
func TestLines(t *testing.T) {
	client := event.Client{ID: verdict.ValueUnless("", "c"), Address: "192.0.2.7"}
	alice, whoever := verdict.ValueUnless("", "alice"), verdict.ValueUnless("", "whoever")
	accept := verdict.Verdict{Kind: verdict.Accept}
	expired := verdict.Refuse(verdict.Expired, "exp is over")
	retry := expired
	retry.Kind = verdict.Retry
	const begin = `{"time":"2026-11-29T12:00:00.123456789Z","event":`
	const who = `"clientid":"c","address":"192.0.2.7",`
	for _, c := range []struct {
		rule  string
		event event.Event
		line  string // empty: none
	}{
		{
			"accepted",
			event.Event{Client: client, Verdict: accept, Username: alice, Sent: whoever, Subject: alice, Provider: "a", LogID: `jti "1\"2"`, Took: 1500 * time.Microsecond},
			`"login","result":"accepted",` + who + `"username":"alice","provider":"a","sub":"alice","jti":"1\"2","tookMs":1.5}`,
		},
		{
			"accepted by the username that it sent, without having been asked about",
			event.Event{Client: client, Verdict: verdict.Verdict{Kind: verdict.Accept, Unchecked: true, Note: "no answer"}, Sent: whoever, LogID: "sha256:12ab"},
			`"login","result":"accepted",` + who + `"username":"whoever","sha256":"12ab","detail":"no answer","unchecked":true}`,
		},
		{"refused", event.Event{Client: client, Verdict: expired, LogID: "sha256:12ab"}, `"login","result":"refused",` + who + `"sha256":"12ab","reason":"expired","detail":"exp is over"}`},
		{"the zero event is a refusal", event.Event{}, `"login","result":"refused"}`},
		{"put off", event.Event{Client: client, Verdict: retry}, `"login","result":"putOff",` + who + `"reason":"expired","detail":"exp is over"}`},
		{"pending", event.Event{Client: client, Verdict: verdict.Verdict{Kind: verdict.Pending}}, ""},
		{"a password of another kind", event.Event{Client: client, Verdict: verdict.Verdict{Kind: verdict.Defer}}, ""},
		{
			"a password that resembles a token",
			event.Event{Client: client, Verdict: verdict.Verdict{Kind: verdict.Defer, Note: `a token with "Bearer" before it`}},
			`"login","result":"deferred",` + who + `"detail":"a token with \"Bearer\" before it"}`,
		},
		{"left before its verdict", event.Event{Kind: event.LeftPending, Client: client, Verdict: expired}, `"login","result":"left",` + who + `"reason":"expired","detail":"exp is over"}`},
		{"left when accepted", event.Event{Kind: event.LeftAccepted, Client: client, Verdict: accept}, `"login","result":"left",` + who[:len(who)-1] + `}`},
		{"not confirmed", event.Event{Kind: event.NotConfirmed, Client: client, Verdict: verdict.Verdict{Kind: verdict.Accept, Note: "no answer"}}, `"confirmation","result":"unanswered",` + who + `"detail":"no answer"}`},
		{"renewed", event.Event{Kind: event.Renewed, Client: client, Verdict: accept, LogID: "sha256:12ab"}, `"renewal","result":"accepted",` + who + `"sha256":"12ab"}`},
		{
			"renewed unchecked",
			event.Event{Kind: event.Renewed, Client: client, Verdict: verdict.Verdict{Kind: verdict.Accept, Unchecked: true, Note: "no answer"}},
			`"renewal","result":"accepted",` + who + `"detail":"no answer","unchecked":true}`,
		},
		{"not renewed", event.Event{Kind: event.RenewalRefused, Client: client, Verdict: expired}, `"renewal","result":"refused",` + who + `"reason":"expired","detail":"exp is over"}`},
		{"a renewal that waits", event.Event{Kind: event.RenewalPending, Client: client}, ""},
		{"disconnected", event.Event{Kind: event.Disconnected, Client: client, Why: "expired: its time ended at noon"}, `"disconnect","result":"done",` + who + `"reason":"expired","detail":"its time ended at noon"}`},
		{
			"not disconnected",
			event.Event{Kind: event.NotDisconnected, Client: client, Why: "revoked: inactive", Err: errors.New("no memory")},
			`"disconnect","result":"failed",` + who + `"reason":"revoked","detail":"inactive; no memory"}`,
		},
		{"not there", event.Event{Kind: event.NotThere, Client: client}, ""},
		{"asked again", event.Event{Kind: event.Reaffirmed, Client: client}, ""},
		{"not rechecked", event.Event{Kind: event.NotRechecked, Client: client}, ""},
		{
			"a token in another field",
			event.Event{Client: event.Client{ID: verdict.ValueUnless("opaque", "opaque"), Address: "eyJhbGciOiJub25lIn0.eyJhIjoxfQ.x"}, Sent: verdict.ValueUnless("", "x-eyJhbGciOiJub25lIn0.eyJhIjoxfQ.x"), Verdict: accept},
			`"login","result":"accepted","clientid":"(a token)","address":"(a token)","username":"x-(a token)"}`,
		},
		{
			"texts from outside",
			event.Event{Client: event.Client{ID: verdict.ValueUnless("", "a\n{\"event\":\"login\"}\xff\u2028<"), Address: strings.Repeat("x", 2000)}, Verdict: accept},
			`"login","result":"accepted","clientid":"a\n{\"event\":\"login\"}\ufffd\u2028<","address":"` + strings.Repeat("x", 1024) + `… (2000 bytes)"}`,
		},
	} {
		t.Run(c.rule, func(t *testing.T) {
			r, is := recordOf(&c.event)
			r.Time = noon
			if is != (c.line != "") {
				t.Fatalf("a line: %t", is)
			}
			if want := begin + c.line + "\n"; is && string(new(encoder).encode(&r)) != want {
				t.Errorf("got  %swant %s", new(encoder).encode(&r), want)
			}
		})
	}
}

func TestAnEncoderKeepsNothingOfTheLastLine(t *testing.T) {
	var c encoder
	c.encode(&Record{Event: event.Login, Result: event.Refused, ClientID: verdict.ValueUnless("", "c"), Detail: "x"})
	if got := string(c.encode(&Record{Time: noon, Event: Lost, Lines: 7})); got != `{"time":"2026-11-29T12:00:00.123456789Z","event":"lost","lines":7}`+"\n" {
		t.Error(got)
	}
}

func TestTwoWhoNameOneFileShareIt(t *testing.T) {
	var trails Trails
	cfg := config.Audit{FilePath: filepath.Join(t.TempDir(), "audit.jsonl")}
	one, other := mustOpen(t, &trails, cfg, new(notes)), mustOpen(t, &trails, cfg, new(notes))
	if len(trails.sinks) != 1 {
		t.Errorf("%d files are open", len(trails.sinks))
	}
	one.Put(Record{Event: Start})
	one.Close(0)
	other.Put(Record{Event: Reload})
	other.Close(time.Minute)
	if got := strings.Count(read(t, cfg.FilePath), "\n"); got != 2 || len(trails.sinks) != 0 {
		t.Errorf("%d lines, %d files are open", got, len(trails.sinks))
	}
	if info, err := os.Stat(cfg.FilePath); err != nil || info.Mode().Perm()&0o027 != 0 {
		t.Errorf("%v, %v: others can read it, or its group change it", info.Mode(), err)
	}
}

func TestNothingNamedIsNoTrail(t *testing.T) {
	var trails Trails
	trail, err := trails.Open(config.Audit{}, new(notes).add)
	if trail != nil || err != nil {
		t.Error(trail, err)
	}
	trail.Put(Record{})
	trail.Event(&event.Event{}, noon)
	trail.Reopen()
	trail.Close(0)
	if trail.Lost() != 0 {
		t.Error("lost")
	}
}

func TestARotatedFileIsLeft(t *testing.T) {
	var trails Trails
	name := filepath.Join(t.TempDir(), "audit.jsonl")
	trail := mustOpen(t, &trails, config.Audit{FilePath: name}, new(notes))
	trail.Put(Record{Event: Start})
	await(t, "the first line", func() bool { return read(t, name) != "" })
	if err := os.Rename(name, name+".1"); err != nil {
		t.Fatal(err)
	}
	trail.Reopen()
	await(t, "the new file", func() bool { _, err := os.Stat(name); return err == nil })
	trail.Put(Record{Event: Reload})
	trail.Close(time.Minute)
	if before, after := read(t, name+".1"), read(t, name); strings.Count(before, "\n") != 1 || strings.Count(after, "\n") != 1 {
		t.Errorf("before %q, after %q", before, after)
	}
}

func TestAFileThatCantBeOpenedAgainGoesOn(t *testing.T) {
	var trails Trails
	var told notes
	dir := filepath.Join(t.TempDir(), "dir")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(dir, "audit.jsonl")
	trail := mustOpen(t, &trails, config.Audit{FilePath: name}, &told)
	if err := os.Rename(dir, dir+".old"); err != nil {
		t.Fatal(err)
	}
	trail.Reopen()
	await(t, "the note", func() bool { return strings.Contains(told.String(), "can't be opened again, and goes on as it was") })
	trail.Put(Record{Event: Start})
	trail.Close(time.Minute)
	if read(t, filepath.Join(dir+".old", "audit.jsonl")) == "" {
		t.Error("the line is lost")
	}
}

func TestWhatCantBeOpenedIsAnError(t *testing.T) {
	dir := t.TempDir()
	pipe := filepath.Join(dir, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	for rule, cfg := range map[string]config.Audit{
		"a folder":                 {FilePath: dir},
		"no such folder":           {FilePath: dir + "/none/audit.jsonl"},
		"a pipe that nobody reads": {FilePath: pipe},
		"no syslog":                {FilePath: dir + "/audit.jsonl", Syslog: true},
	} {
		trails := Trails{Socket: dir + "/none"}
		if _, err := trails.Open(cfg, new(notes).add); err == nil || len(trails.sinks) != 0 {
			t.Errorf("%s: %v, %d are open", rule, err, len(trails.sinks))
		}
	}
}

// /dev/full is a disk that is full.
func TestAFullDiskIsSaidAndCounted(t *testing.T) {
	var trails Trails
	var told notes
	name := filepath.Join(t.TempDir(), "audit.jsonl")
	if err := os.Symlink("/dev/full", name); err != nil {
		t.Fatal(err)
	}
	trail := mustOpen(t, &trails, config.Audit{FilePath: name}, &told)
	for range 5 {
		trail.Put(Record{Time: noon, Event: event.Login})
	}
	await(t, "the loss", func() bool { return trail.Lost() == 5 })
	if got := told.String(); strings.Count(got, "lines are lost: ") != 1 || !strings.Contains(got, "no space left on device") {
		t.Errorf("told %q", got)
	}
	if err := os.Remove(name); err != nil {
		t.Fatal(err)
	}
	trail.Reopen()
	await(t, "the new file", func() bool { _, err := os.Stat(name); return err == nil })
	trail.Put(Record{Time: noon, Event: event.Login})
	await(t, "the note", func() bool { return strings.Contains(told.String(), "has lost 5 lines") })
	if got := read(t, name); !strings.HasSuffix(got, `"event":"lost","lines":5}`+"\n") {
		t.Error(got)
	}
}

// stuck is a disk that hangs until it is let go.
type stuck struct {
	bytes.Buffer
	hangs, free chan struct{}
}

func (s *stuck) write(_ *Record, line []byte) error {
	s.hangs <- struct{}{}
	<-s.free
	s.Write(line)
	return nil
}
func (*stuck) reopen() error { return nil }
func (*stuck) close()        {}

func TestASlowDiskHoldsNobody(t *testing.T) {
	var trails Trails
	var told notes
	disk := &stuck{hangs: make(chan struct{}, 2*queued), free: make(chan struct{})}
	s, err := trails.open("disk", func() (destination, error) { return disk, nil }, told.add)
	if err != nil {
		t.Fatal(err)
	}
	trail := &Trail{of: &trails, sinks: []*sink{s}}
	trail.Put(Record{Time: noon, Event: event.Login})
	<-disk.hangs
	for range queued + 3 {
		trail.Put(Record{Time: noon, Event: event.Login})
	}
	if got := trail.Lost(); got != 3 {
		t.Errorf("lost %d", got)
	}
	began := time.Now()
	trail.Close(time.Millisecond)
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("Close took %s", took)
	}
	close(disk.free)
	<-s.ended
	if got := strings.Count(disk.String(), "\n"); got != 1+queued+1 {
		t.Errorf("%d lines", got)
	}
	if !strings.Contains(disk.String(), `"event":"lost","lines":3}`) || !strings.Contains(told.String(), "has lost 3 lines") {
		t.Errorf("the loss was not said: %s", &told)
	}
}

// filling takes so many bytes.
type filling struct {
	bytes.Buffer
	room int
}

func (f *filling) Write(p []byte) (int, error) {
	n := min(f.room, len(p))
	f.room -= n
	f.Buffer.Write(p[:n])
	if n < len(p) {
		return n, syscall.ENOSPC
	}
	return n, nil
}
func (*filling) Close() error { return nil }

func TestATornLineStandsAlone(t *testing.T) {
	disk := &filling{room: 9}
	f := &file{open: disk}
	if err := f.write(nil, []byte("{\"a\":1}\n")); err != nil {
		t.Fatal(err)
	}
	if err := f.write(nil, []byte("{\"b\":2}\n")); !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
	disk.room = 1
	_ = f.write(nil, []byte("{\"c\":3}\n"))
	disk.room = 100
	for range 2 {
		if err := f.write(nil, []byte("{\"d\":4}\n")); err != nil {
			t.Fatal(err)
		}
	}
	if got := disk.String(); got != "{\"a\":1}\n{\n\n{\"d\":4}\n{\"d\":4}\n" {
		t.Errorf("%q", got)
	}
}

// listen is a syslog daemon.
func listen(t *testing.T, socket string) *net.UnixConn {
	t.Helper()
	daemon, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = daemon.Close() })
	return daemon
}

func receive(t *testing.T, from io.Reader) string {
	t.Helper()
	space := make([]byte, 1<<16)
	n, err := from.Read(space)
	if err != nil {
		t.Fatal(err)
	}
	return string(space[:n])
}

// RFC 5424 §6: PRI VERSION TIMESTAMP HOSTNAME APP-NAME PROCID MSGID STRUCTURED-DATA MSG.
var message = regexp.MustCompile(`^<([0-9]{1,3})>1 (2026-11-29T12:00:00\.123456Z) ([\x21-\x7e]{1,255}) go_jwt_auth ([0-9]{1,128}) ([\x21-\x7e]{1,32}) - (\{.*\})$`)

func TestSyslog(t *testing.T) {
	trails := Trails{Socket: filepath.Join(t.TempDir(), "log")}
	daemon := listen(t, trails.Socket)
	var told notes
	trail := mustOpen(t, &trails, config.Audit{Syslog: true}, &told)
	for _, c := range []struct{ result, pri string }{{event.Accepted, "85"}, {event.Refused, "84"}, {event.Failed, "83"}} {
		trail.Put(Record{Time: noon, Event: event.Login, Result: c.result})
		got := message.FindStringSubmatch(receive(t, daemon))
		if len(got) != 7 || got[1] != c.pri || got[5] != event.Login || !json.Valid([]byte(got[6])) {
			t.Errorf("%s: %q", c.result, got)
		}
	}
	// The daemon is started anew.
	if err := errors.Join(daemon.Close(), os.Remove(trails.Socket)); err != nil {
		t.Fatal(err)
	}
	trail.Put(Record{Time: noon, Event: event.Login})
	await(t, "the loss", func() bool { return trail.Lost() == 1 })
	daemon = listen(t, trails.Socket)
	trail.Put(Record{Time: noon, Event: event.Login})
	if got := receive(t, daemon); !message.MatchString(got) {
		t.Error(got)
	}
	if got := receive(t, daemon); !strings.Contains(got, `"event":"lost","lines":1}`) {
		t.Error(got)
	}
}

func BenchmarkEncode(b *testing.B) {
	var c encoder
	r := Record{
		Time: noon, Event: event.Login, Result: event.Accepted, ClientID: verdict.ValueUnless("", "device-0001"), Address: "192.0.2.7", Username: verdict.ValueUnless("", "device-0001"),
		Subject: verdict.ValueUnless("", "device-0001"), LogID: `jti "0b7ce2a1-4c8f-4a36-8bb2-0f6ee2f9a6c0"`, Took: time.Millisecond,
	}
	for b.Loop() {
		c.encode(&r)
	}
}
