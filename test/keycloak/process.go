package keycloak

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

const (
	// A start takes 15 s on two cores that are idle.
	readyWithin = 4 * time.Minute
	stopWithin  = time.Minute
)

// java is what kc.sh runs in place of java: the same, but it dies with kc.sh, and so with the test's process.
const java = "#!/bin/sh\nexec setpriv --pdeathsig KILL java \"$@\"\n"

// process is kc.sh with its child, Java.
type process struct {
	cancel context.CancelFunc
	ended  chan struct{} // closed when all of it has
	output output
}

// output is what it prints, until it says where it listens and after.
type output struct {
	listening chan string // gets the address

	mu   sync.Mutex // guards what follows
	text bytes.Buffer
	said bool
}

var listening = regexp.MustCompile(`Listening on: (http://\S+)`)

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	n, err := o.text.Write(p)
	if !o.said {
		if found := listening.FindSubmatch(o.text.Bytes()); found != nil {
			o.said = true
			o.listening <- string(found[1])
		}
	}
	return n, err
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// launch starts Keycloak on a port ("0": any) and waits until it says that it serves: by then it has imported
// the realm.
func (s *Server) launch(t testing.TB, port string) {
	t.Helper()
	began := time.Now()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	p := &process{cancel: cancel, ended: make(chan struct{}), output: output{listening: make(chan string, 1)}}
	// Its own limit of 512 MB for the heap is enough.
	command := exec.CommandContext(ctx, filepath.Join(s.home, "bin", "kc.sh"), slices.Concat([]string{"-Dkc.home.dir=" + s.home},
		s.setup.Args, []string{"--http-host=127.0.0.1", "--http-port=" + port})...)
	command.Env = append(append(environment(), s.setup.Env...),
		"JAVA="+filepath.Join(s.home, "java"),
		"KC_BOOTSTRAP_ADMIN_CLIENT_ID="+adminClient,
		"KC_BOOTSTRAP_ADMIN_CLIENT_SECRET="+s.adminSecret,
	)
	command.Stdout, command.Stderr = &p.output, &p.output
	command.Cancel = func() error { return command.Process.Signal(syscall.SIGTERM) }
	command.WaitDelay = stopWithin
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}

	started := make(chan error)
	go func() {
		// The kernel sends Pdeathsig when the thread that started the child ends, so this one must stay.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(p.ended)
		err := command.Start()
		started <- err
		if err == nil {
			_ = command.Wait() // its output says more
		}
	}()
	if err := <-started; err != nil {
		cancel()
		t.Fatalf("keycloak: %v", err)
	}
	s.process = p
	select {
	case s.base = <-p.output.listening:
		t.Logf("Keycloak serves %s after %s", s.base, time.Since(began).Round(time.Second/10))
	case <-p.ended:
		cancel()
		t.Fatalf("keycloak: it has ended before it served:\n%s", &p.output)
	case <-time.After(readyWithin):
		cancel()
		t.Fatalf("keycloak: it does not serve after %s:\n%s", readyWithin, &p.output)
	}
}

// environment is this process's without what Keycloak would take for its own configuration.
func environment() []string {
	var kept []string
	for _, variable := range os.Environ() {
		if !strings.HasPrefix(variable, "KC_") && !strings.HasPrefix(variable, "JAVA_OPTS") {
			kept = append(kept, variable)
		}
	}
	return kept
}

// stop ends it by SIGTERM, if it runs, and waits.
func (p *process) stop(t testing.TB) {
	t.Helper()
	p.cancel()
	<-p.ended
	if t.Failed() {
		t.Logf("Keycloak's log:\n%s", &p.output)
	}
}
