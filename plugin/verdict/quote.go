package verdict

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Only this file makes text from outside (clients, tokens, providers, certificates, files) fit for a log line. There is a
// function for each kind of text: Quote for a value, Word for a name or an address, which seldom needs quotes, AppendAddress for a
// client's IP address, Phrase for a message of another program. Line is applied once more to every finished log line.
//
// A line is built for each login, and most are dropped, as no broker tells plugins its log level. What such a line consists
// of is therefore appended (AppendQuote, AppendAddress, Value), and printable ASCII takes no allocation.

// Bounds on what a text from outside can put into a log line, in bytes before quoting.
const (
	maxQuoted = 96
	maxWord   = 256
	maxPhrase = 512
)

// redacted replaces a token.
const redacted = "(a token)"

// Quote returns s as it may stand in a log line: quoted, control and format characters escaped (no forged log lines), cut
// after 96 bytes, and without what looks like a token.
func Quote(s string) string {
	var space [2*maxQuoted + 2]byte
	return string(AppendQuote(space[:0], s))
}

// AppendQuote appends what Quote returns.
func AppendQuote(to []byte, s string) []byte {
	shown := redact(s)
	switch {
	case shown == redacted && s != redacted:
		return append(to, redacted...)
	case len(shown) > maxQuoted:
		to = strconv.AppendQuote(to, cut(shown, maxQuoted))
		return fmt.Appendf(to, "… (%d bytes)", len(s))
	case isUnescaped(shown):
		to = append(to, '"')
		to = append(to, shown...)
		return append(to, '"')
	}
	return strconv.AppendQuote(to, shown)
}

// QuoteList quotes each of the texts, and says how many there are beside the first so many.
func QuoteList(texts []string, most int) string {
	quoted := make([]string, min(len(texts), most))
	for i := range quoted {
		quoted[i] = Quote(texts[i])
	}
	list := strings.Join(quoted, ", ")
	if more := len(texts) - most; more > 0 {
		list += fmt.Sprintf(" and %d more", more)
	}
	return list
}

// QuoteUnless is Quote for a value that may be the secret itself, such as an opaque token that a client also sends as its
// client id: then it is not shown. An empty secret equals nothing.
func QuoteUnless(secret, s string) string {
	if secret != "" && s == secret {
		return redacted
	}
	return Quote(s)
}

// Value is a text from outside that is quoted when a log line is built. The zero Value is none.
type Value struct {
	text   string
	secret bool
}

// ValueUnless is the Value that AppendTo shows as QuoteUnless does.
func ValueUnless(secret, s string) Value { return Value{text: s, secret: secret != "" && s == secret} }

// AppendTo appends the value to a line.
func (v Value) AppendTo(line []byte) []byte {
	if v.secret {
		return append(line, redacted...)
	}
	return AppendQuote(line, v.text)
}

// Text is the value for a place that quotes it itself, as JSON does: see Shorten.
func (v Value) Text(most int) string {
	if v.secret {
		return redacted
	}
	return Shorten(v.text, most)
}

// Shorten returns s without what looks like a token, and cut after most bytes (4 or more), for a place that quotes it itself.
func Shorten(s string, most int) string {
	shown := redact(s)
	if len(shown) <= most {
		return shown
	}
	return fmt.Sprintf("%s… (%d bytes)", cut(shown, most), len(s))
}

// Word returns s unchanged if it is one word of printable ASCII without quotes, as addresses, paths and names of claims are;
// otherwise it returns Quote(s).
func Word(s string) string {
	if s == "" || len(s) > maxWord || strings.ContainsFunc(s, notOfAWord) {
		return Quote(s)
	}
	if shown := redact(s); shown != s {
		return Quote(s)
	}
	return s
}

func notOfAWord(r rune) bool { return r <= ' ' || r > '~' || r == '"' || r == '\\' }

// AppendAddress appends a client's IP address unchanged, and quotes anything else: a WebSocket listener of Mosquitto 2.0 takes it
// from X-Forwarded-For, which the client may choose.
func AppendAddress(to []byte, s string) []byte {
	// A zone ("fe80::1%eth0") can be any text. The broker gives none.
	if ip, err := netip.ParseAddr(s); err == nil && ip.Zone() == "" {
		return append(to, s...)
	}
	return AppendQuote(to, s)
}

// Phrase returns the text of an error or of another message that holds text from outside as Line does, without quotes around
// it and cut after 512 bytes.
func Phrase(s string) string {
	head, rest := Cut(Line(s), maxPhrase)
	if rest != "" {
		return fmt.Sprintf("%s… (%d bytes)", head, len(s))
	}
	return head
}

// Line returns s as it may go to the log: on one line, with control and format characters escaped as Quote does it, and
// without what looks like a token. A text whose parts have all been quoted needs none of that and is unchanged.
func Line(s string) string { return escape(redact(s)) }

// IsPlainLine tells whether Line leaves a line of ASCII as it is; false if it is not ASCII alone.
func IsPlainLine(line []byte) bool {
	start, _ := findToken(line, 0)
	return start < 0 && isPlain(line)
}

// text is what is looked at and may be a line that is being built.
type text interface{ string | []byte }

// escape replaces what is not printable by its escape sequence in Go. Existing escape sequences stay.
func escape(s string) string {
	if isPlain(s) || (utf8.ValidString(s) && !strings.ContainsFunc(s, unprintable)) {
		return s
	}
	text := make([]byte, 0, len(s)+16)
	for s != "" {
		r, size := utf8.DecodeRuneInString(s)
		if (r == utf8.RuneError && size == 1) || unprintable(r) {
			quoted := strconv.Quote(s[:size])
			text = append(text, quoted[1:len(quoted)-1]...)
		} else {
			text = append(text, s[:size]...)
		}
		s = s[size:]
	}
	return string(text)
}

// isPlain tells whether s is printable ASCII: the usual case.
func isPlain[T text](s T) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

// isUnescaped tells whether s stands between quotes as it is.
func isUnescaped(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' || s[i] == '"' || s[i] == '\\' {
			return false
		}
	}
	return true
}

func unprintable(r rune) bool { return !strconv.IsPrint(r) }

// cut returns at most the first most bytes of s, without splitting a character.
func cut(s string, most int) string {
	for n := most; n > most-utf8.UTFMax; n-- {
		if utf8.RuneStart(s[n]) {
			return s[:n]
		}
	}
	return s[:most]
}

// Cut splits a text that Line has returned after at most so many bytes (10 or more), but not inside of a character or an escape
// sequence.
func Cut(line string, most int) (head, rest string) {
	if len(line) <= most {
		return line, ""
	}
	end := 0
	for next := unit(line); next <= most; next += unit(line[next:]) {
		end = next
	}
	return line[:end], line[end:]
}

// unit is the length of the first character or escape sequence.
func unit(s string) int {
	if s[0] != '\\' || len(s) == 1 {
		_, size := utf8.DecodeRuneInString(s)
		return size
	}
	switch s[1] {
	case 'x':
		return min(len(`\x1b`), len(s))
	case 'u':
		return min(len(`\u202e`), len(s))
	case 'U':
		return min(len(`\U000e0001`), len(s))
	default:
		_, size := utf8.DecodeRuneInString(s[1:])
		return 1 + size
	}
}

// redact replaces all that looks like a signed or an encrypted token (RFC 7515 §3.1, RFC 7516 §3.1), anywhere in s.
func redact(s string) string {
	if strings.Count(s, ".") < 2 {
		return s
	}
	var text strings.Builder
	for at := 0; ; {
		start, end := findToken(s, at)
		if start < 0 && at == 0 {
			return s
		}
		if start < 0 {
			text.WriteString(s[at:])
			return text.String()
		}
		text.WriteString(s[at:start])
		text.WriteString(redacted)
		at = end
	}
}

// HoldsToken tells whether s holds text that Line and the others would replace as a token.
func HoldsToken(s string) bool { return redact(s) != s }

// findToken returns the bounds of the first token at or after an index; -1 if there is none.
func findToken[T text](s T, from int) (start, end int) {
	for dot := from; dot < len(s); dot++ {
		if s[dot] != '.' {
			continue
		}
		start, end := dot, dot
		for start > from && inToken(s[start-1]) {
			start--
		}
		dots, last, before := 0, 0, 0
		for ; end < len(s) && inToken(s[end]); end++ {
			if s[end] == '.' {
				dots, before, last = dots+1, last, end
			}
		}
		if dots >= 2 {
			// Two parts must follow the header, so it ends at the last dot but one at the latest.
			if at := findHeader(s[start:before]); at >= 0 {
				return start + at, end
			}
		}
		from, dot = end, end
	}
	return -1, -1
}

func inToken(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '_' || c == '.'
}

const (
	// maxHeader is how many characters of a header are decoded. A longer one is judged by its beginning.
	maxHeader = 1024
	// maxTries bounds the cost of one text. A part with more places that look like the beginning of a header counts as one.
	maxTries = 16
)

// findHeader returns the index at which a header begins in parts that are joined by dots, at the beginning of a part or inside
// of it; -1 if there is none.
func findHeader[T text](parts T) int {
	tries := 0
	for at := 0; at < len(parts); {
		end := at
		for end < len(parts) && parts[end] != '.' {
			end++
		}
		for i := at; i+len("eyI") <= end; i++ {
			if i > at && !beginsObject(parts[i:end]) {
				continue
			}
			if isHeader(parts[i:end], i == at) {
				return i
			}
			if tries > maxTries {
				return at
			}
			if i > at {
				tries++
			}
		}
		at = end + 1
	}
	return -1
}

// beginsObject tells whether base64url text begins with `{` and a quote or white space, by its first two characters.
func beginsObject[T text](part T) bool { return part[0] == 'e' && (part[1] == 'y' || part[1] == 'w') }

// mayBeginHeader tells by the first character of base64url text, which is six bits, whether a brace can be the first that isHeader
// meets. It spares an address and a domain name the decoding of their parts.
func mayBeginHeader(c byte) bool {
	switch c {
	case 'e', // {
		'I',      // space
		'C', 'D', // tab, line feed, carriage return
		'7': // U+FEFF
		return true
	}
	return false
}

// isHeader tells whether base64url text is a JSON object with a member. For a whole part the beginning of an object is enough, as
// it is for package token, which calls a token malformed if the rest can't be read. Inside a part such letters can stand by
// chance, so the rest must be valid, too.
func isHeader[T text](part T, whole bool) bool {
	if whole && !mayBeginHeader(part[0]) {
		return false
	}
	var space [maxHeader]byte
	n, err := base64.RawURLEncoding.Decode(space[:], []byte(part[:min(len(part), maxHeader)]))
	text := bytes.TrimLeft(space[:n], "\uFEFF \t\r\n")
	inside, open := bytes.CutPrefix(text, []byte("{"))
	if !open || !bytes.HasPrefix(bytes.TrimLeft(inside, " \t\r\n"), []byte(`"`)) {
		return false
	}
	return whole || len(part) > maxHeader || (err == nil && json.Valid(text))
}
