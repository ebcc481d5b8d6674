package harness

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Process is a program that was started, in a process group of its own, and
// all that it printed, standard error included.
type Process struct {
	t     T
	name  string
	pid   int
	heard func(line string) // told of each line as it comes; nil: nobody is
	state state             // guards what follows
	lines []line
	over  bool
	exit  int
	known bool // somebody has waited for the end
}

type line struct {
	at   time.Time
	text string
}

// Spawn starts argv with extra environment variables. It is killed when the
// test ends, and when this process dies.
func Spawn(t T, env []string, argv ...string) *Process {
	t.Helper()
	return spawnHeard(t, nil, env, argv...)
}

// spawnHeard is Spawn for somebody who wants to hear each line.
func spawnHeard(t T, heard func(line string), env []string, argv ...string) *Process {
	t.Helper()
	p := &Process{t: t, name: filepath.Base(argv[0]), heard: heard}
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Env = append(os.Environ(), env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	out, in, err := os.Pipe()
	if err != nil {
		t.Fatalf("harness: %s: %v", p.name, err)
	}
	cmd.Stdout, cmd.Stderr = in, in

	started := make(chan error)
	go func() {
		// The kernel sends Pdeathsig when the thread that forked ends, so this
		// one stays for as long as the child runs.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		_ = in.Close() // the child has its own
		if err != nil {
			_ = out.Close()
			started <- err
			return
		}
		read := make(chan struct{})
		go func() { defer close(read); p.read(out) }()
		p.pid = cmd.Process.Pid
		started <- nil
		// The exit code says it all, so the error is of no use; and what was
		// printed last is read first, before anybody learns of the end.
		_ = cmd.Wait()
		<-read
		p.state.update(func() { p.over, p.exit = true, exitCode(cmd.ProcessState) })
	}()
	if err := <-started; err != nil {
		t.Fatalf("harness: %s: %v", p.name, err)
	}
	t.Cleanup(p.kill)
	return p
}

// exitCode is the one that a shell would show: 128 + n for signal n.
func exitCode(s *os.ProcessState) int {
	if status, ok := s.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return 128 + int(status.Signal())
	}
	return s.ExitCode()
}

func (p *Process) read(from io.ReadCloser) {
	defer func() { _ = from.Close() }()
	r := bufio.NewReader(from)
	for {
		text, err := r.ReadString('\n')
		if text != "" {
			text = strings.TrimSuffix(text, "\n")
			p.state.update(func() { p.lines = append(p.lines, line{time.Now(), text}) })
			if p.heard != nil {
				p.heard(text)
			}
		}
		if err != nil {
			return
		}
	}
}

// kill ends the whole group at once.
func (p *Process) kill() {
	if p.Running() {
		_ = syscall.Kill(-p.pid, syscall.SIGKILL) // it may just have ended
		p.Wait()
	}
}

// PID is the process id.
func (p *Process) PID() int { return p.pid }

// Running reports whether the process has not ended yet.
func (p *Process) Running() (running bool) {
	p.state.view(func() { running = !p.over })
	return running
}

// awaited reports whether the end was asked for or looked at.
func (p *Process) awaited() (known bool) {
	p.state.view(func() { known = p.known })
	return known
}

// Signal sends sig to the process. A process that has ended fails the test.
func (p *Process) Signal(sig syscall.Signal) {
	p.t.Helper()
	if !p.Running() {
		p.t.Fatalf("harness: %s has ended: no %v for it\n%s", p.name, sig, p.Log())
	}
	if err := syscall.Kill(p.pid, sig); err != nil {
		p.t.Fatalf("harness: %v to %s: %v", sig, p.name, err)
	}
}

// Wait waits for the process to end by itself and returns its exit code, 128+n
// for death by signal n.
func (p *Process) Wait() int {
	p.t.Helper()
	if !p.state.wait(func() bool { p.known = true; return p.over }) {
		p.t.Fatalf("harness: %s did not end within %v\n%s", p.name, Patience, p.Log())
	}
	return p.exit
}

// Stop sends SIGTERM, unless the process has ended, and waits as Wait does. It repeats the signal: Mosquitto forgets one
// that comes between its log line "running" and its first loop.
func (p *Process) Stop() int {
	p.t.Helper()
	ended := make(chan struct{})
	var repeating sync.WaitGroup
	repeating.Go(func() {
		for p.Running() {
			_ = syscall.Kill(p.pid, syscall.SIGTERM) // it may just have ended
			select {
			case <-ended:
			case <-time.After(time.Second):
			}
		}
	})
	defer repeating.Wait()
	defer close(ended)
	return p.Wait()
}

// Log is all that was printed so far, line by line.
func (p *Process) Log() string { return p.LogSince(0) }

// LogSince is what was printed after the first mark lines.
func (p *Process) LogSince(mark int) string {
	var b strings.Builder
	p.state.view(func() {
		for _, l := range p.lines[mark:] {
			b.WriteString(l.text + "\n")
		}
	})
	return b.String()
}

// Mark is the number of lines printed so far, for LogSince and WaitLogSince.
func (p *Process) Mark() (mark int) {
	p.state.view(func() { mark = len(p.lines) })
	return mark
}

// WaitLog waits for a line that matches the regular expression, printed
// already or to come, and returns the first such line.
func (p *Process) WaitLog(pattern string) string {
	p.t.Helper()
	return p.WaitLogSince(0, pattern)
}

// WaitLogSince is WaitLog for lines after the first mark lines. It fails the
// test as soon as the process has ended without printing one.
func (p *Process) WaitLogSince(mark int, pattern string) string {
	p.t.Helper()
	re, err := regexp.Compile(pattern)
	if err != nil {
		p.t.Fatalf("harness: %v", err)
	}
	found, text := false, ""
	p.state.wait(func() bool {
		for ; mark < len(p.lines) && !found; mark++ {
			text, found = p.lines[mark].text, re.MatchString(p.lines[mark].text)
		}
		return found || p.over
	})
	if !found {
		p.t.Fatalf("harness: %s printed no line that matches %q (running: %v)\n%s", p.name, pattern, p.Running(), p.Log())
	}
	return text
}

// timedLog is the log for a reader, each line with the time that it came at.
func (p *Process) timedLog() string {
	var b strings.Builder
	p.state.view(func() {
		for _, l := range p.lines {
			fmt.Fprintf(&b, "%s %s\n", l.at.Format("15:04:05.000"), l.text)
		}
	})
	return b.String()
}
