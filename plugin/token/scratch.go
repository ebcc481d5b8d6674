package token

import "sync"

// scratch is space for what is needed of a token only while it is checked, for the next one to use again.
type scratch struct{ space []byte }

var scratches = sync.Pool{New: func() any { return new(scratch) }} //nolint:gochecknoglobals // holds no state

// newScratch is to be released; what was got of it is void then.
func newScratch() *scratch {
	return scratches.Get().(*scratch) //nolint:errcheck,forcetypeassert // the pool holds nothing else
}

func (s *scratch) release() {
	s.space = s.space[:0]
	scratches.Put(s)
}

// decode decodes base64url; with an error comes what was read before the fault.
func (s *scratch) decode(text string) ([]byte, error) {
	began := len(s.space)
	var err error
	s.space, err = base64URL.AppendDecode(s.space, []byte(text))
	return s.space[began:len(s.space):len(s.space)], err
}

// bytes is a text as bytes.
func (s *scratch) bytes(text string) []byte {
	began := len(s.space)
	s.space = append(s.space, text...)
	return s.space[began:len(s.space):len(s.space)]
}
