package audit

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"time"
)

// The header of RFC 5424 §6.2. The facility is authpriv, as lines say who has logged in.
const (
	facility      = 10 << 3
	severityError = 3
	severityWarn  = 4
	severityNote  = 5
	// stamp is the timestamp: no finer than microseconds (§6.2.3).
	stamp = "2006-01-02T15:04:05.000000Z07:00"
	// sendFor is how long a line waits for a syslog daemon that reads none.
	sendFor = time.Second
)

// syslog sends lines to the machine's syslog daemon. Package log/syslog speaks RFC 3164 alone, without year, fraction and zone.
type syslog struct {
	sockets []string
	to      net.Conn
	host    string
	text    []byte
}

func openSyslog(socket string) (*syslog, error) {
	s := &syslog{sockets: []string{socket}, host: "-"}
	if socket == "" {
		s.sockets = []string{"/dev/log", "/var/run/syslog", "/var/run/log"}
	}
	if name, err := os.Hostname(); err == nil && isPrintable(name) {
		s.host = name
	}
	err := s.reopen()
	return s, err
}

// isPrintable tells whether a text may stand in the header: PRINTUSASCII of at most 255 (§6).
func isPrintable(s string) bool {
	return s != "" && len(s) <= 255 && !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' })
}

// reopen connects anew: a daemon that was restarted has another socket.
func (s *syslog) reopen() error {
	var failed []error
	var dialer net.Dialer
	for _, socket := range s.sockets {
		to, err := dialer.DialContext(context.Background(), "unixgram", socket) // which waits for nothing
		if err == nil {
			s.close()
			s.to = to
			return nil
		}
		failed = append(failed, err)
	}
	return fmt.Errorf("no syslog daemon listens: %w", errors.Join(failed...))
}

// write sends a line as one message, and connects anew if the daemon has gone.
func (s *syslog) write(r *Record, line []byte) error {
	s.text = fmt.Appendf(s.text[:0], "<%d>1 %s %s go_jwt_auth %d %s - ", facility|r.severity(), r.Time.UTC().Format(stamp), s.host, os.Getpid(), r.Event)
	s.text = append(s.text, line[:len(line)-1]...)
	err := s.send()
	if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) && s.reopen() == nil {
		err = s.send()
	}
	return err
}

func (s *syslog) send() error {
	if err := s.to.SetWriteDeadline(time.Now().Add(sendFor)); err != nil {
		return err
	}
	_, err := s.to.Write(s.text)
	return err
}

func (s *syslog) close() {
	if s.to != nil {
		_ = s.to.Close()
	}
}
