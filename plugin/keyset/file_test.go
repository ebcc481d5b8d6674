package keyset_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go-jwt-auth/plugin/config"
	"go-jwt-auth/plugin/internal/testkeys"
	"go-jwt-auth/plugin/keyset"
)

// jwksFile is a JWKS file that a source reads.
type jwksFile struct {
	*env
	t      *testing.T
	path   string
	source keyset.Source
	writes int
}

func newJWKSFile(t *testing.T, content []byte) *jwksFile {
	t.Helper()
	f := &jwksFile{env: newEnv(), t: t}
	cfg := fileWith(t, content, "ES256")
	f.path, f.source = cfg.JWKS.FilePath, f.mustOpen(t, cfg)
	return f
}

// becomes gives the file other content, at another time than before.
func (f *jwksFile) becomes(content []byte) {
	f.t.Helper()
	write(f.t, f.path, content)
	f.writes++
	at := time.Date(2026, 11, 23, 15, f.writes, 0, 0, time.UTC)
	if err := os.Chtimes(f.path, at, at); err != nil {
		f.t.Fatal(err)
	}
}

func TestFileIsPickedUpWhenItChanges(t *testing.T) {
	old, fresh := testkeys.New("ES256", "old"), testkeys.New("ES256", "new")
	f := newJWKSFile(t, testkeys.Set(old))
	finds(t, f.source, "old", "ES256", old.Public())
	f.becomes(testkeys.Set(fresh))

	f.advance(time.Second - 1)
	finds(t, f.source, "old", "ES256", old.Public()) // looked at once a second at most
	f.advance(1)
	finds(t, f.source, "new", "ES256", fresh.Public())
	f.says(t, "info: the keys at "+f.path+" have changed: now 1 (kid \"new\")")
	if _, err := f.source.Find(t.Context(), "old", "ES256"); !errors.Is(err, keyset.ErrUnknownKey) {
		t.Errorf("the removed key: %v", err)
	}

	again := testkeys.New("ES256", "new")
	f.becomes(testkeys.Set(again))
	f.advance(time.Second)
	finds(t, f.source, "new", "ES256", again.Public()) // a new key under the old kid
	f.says(t, "have changed")
}

func TestFileBrokenKeepsTheOldKeysAndSaysSoOnce(t *testing.T) {
	old, fresh := testkeys.New("ES256", "old"), testkeys.New("ES256", "new")
	set := testkeys.Set(fresh)
	cases := []struct {
		rule  string
		spoil func(*jwksFile)
		want  string
	}{
		{"half-written", func(f *jwksFile) { f.becomes(set[:len(set)/2]) }, "this is no JWK set"},
		{"emptied", func(f *jwksFile) { f.becomes(nil) }, "it is empty"},
		{"garbage", func(f *jwksFile) { f.becomes([]byte("garbage")) }, "this is no JWK set"},
		{"removed", func(f *jwksFile) { remove(f) }, "does not exist: the nearest folder is "},
		{"too large", func(f *jwksFile) { f.becomes(make([]byte, 1<<20+1)) }, "it is larger than 1048576 bytes"},
		{"a folder in its place", func(f *jwksFile) {
			remove(f)
			if err := os.Mkdir(f.path, 0o700); err != nil {
				f.t.Fatal(err)
			}
		}, "is a directory"},
	}
	for _, c := range cases {
		t.Run(c.rule, func(t *testing.T) {
			f := newJWKSFile(t, testkeys.Set(old))
			finds(t, f.source, "old", "ES256", old.Public())
			f.says(t)
			c.spoil(f)
			f.advance(time.Second)
			finds(t, f.source, "old", "ES256", old.Public())
			f.says(t, "warning: "+f.path+" can't be used, the keys read before stay: ")
			for range 10 {
				f.advance(time.Second)
				finds(t, f.source, "old", "ES256", old.Public())
			}
			f.says(t)
			set, err := f.source.Load(t.Context())
			if err != nil || set.Len() != 1 {
				t.Errorf("Load: %d keys, %v", set.Len(), err)
			}

			if err := os.RemoveAll(f.path); err != nil {
				t.Fatal(err)
			}
			f.becomes(testkeys.Set(fresh))
			f.advance(time.Second)
			finds(t, f.source, "new", "ES256", fresh.Public())
			f.says(t, "info: the keys at "+f.path+" have changed")
		})
	}
}

// TestFileLooksTheSameButCanBeReadNow: as after a chmod, which changes neither time nor size. (What can't be read is
// played by spaces here, since the test may run as root.)
func TestFileLooksTheSameButCanBeReadNow(t *testing.T) {
	old, fresh := testkeys.New("ES256", "old"), testkeys.New("ES256", "new")
	f := newJWKSFile(t, testkeys.Set(old))
	finds(t, f.source, "old", "ES256", old.Public())
	content := testkeys.Set(fresh)
	f.becomes(bytes.Repeat([]byte(" "), len(content)))
	f.advance(time.Second)
	finds(t, f.source, "old", "ES256", old.Public())
	f.says(t, "can't be used")

	f.writes--
	f.becomes(content)
	f.advance(time.Second)
	finds(t, f.source, "new", "ES256", fresh.Public())
	f.says(t, "have changed")
}

func TestFileMissingAtStartIsFoundLater(t *testing.T) {
	e := newEnv()
	cfg := accepting("ES256")
	cfg.JWKS = config.JWKS{FilePath: filepath.Join(t.TempDir(), "jwks.json")}
	source := e.mustOpen(t, cfg)
	unavailable := func(what string, err error) {
		t.Helper()
		if typed := new(keyset.UnavailableError); !errors.As(err, &typed) || !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), cfg.JWKS.FilePath) {
			t.Errorf("%s: %v", what, err)
		}
	}
	_, err := source.Load(t.Context())
	unavailable("Load", err)
	_, err = source.Find(t.Context(), "", "ES256")
	unavailable("Find", err)
	e.says(t) // the errors say it

	key := testkeys.New("ES256", "k")
	write(t, cfg.JWKS.FilePath, testkeys.Set(key))
	e.advance(time.Second)
	finds(t, source, "k", "ES256", key.Public())
	if source.String() != cfg.JWKS.FilePath {
		t.Errorf("it is called %s", source)
	}
}

// TestFileWithoutUsableKeyWarnsOnce: logins go on asking for it, and must not fill the log.
func TestFileWithoutUsableKeyWarnsOnce(t *testing.T) {
	key := testkeys.New("ES256", "k")
	f := newJWKSFile(t, testkeys.Set(key.JWK().With("use", "wrap")))
	for range 10 {
		if _, err := f.source.Find(t.Context(), "k", "ES256"); err == nil || !strings.Contains(err.Error(), "none of its 1 keys can be used") {
			t.Errorf("got %v", err)
		}
		f.advance(time.Second)
	}
	f.says(t, `key "k" of the set is not used: its use is "wrap"`)
	f.becomes(testkeys.Set(key))
	finds(t, f.source, "k", "ES256", key.Public())
	f.says(t)
}

// TestFileAndAClockSetBack: the file is looked at again, not only once the clock has caught up.
func TestFileAndAClockSetBack(t *testing.T) {
	old, fresh := testkeys.New("ES256", "k"), testkeys.New("ES256", "k")
	f := newJWKSFile(t, testkeys.Set(old))
	finds(t, f.source, "k", "ES256", old.Public())
	f.becomes(testkeys.Set(fresh))
	f.advance(-time.Hour)
	finds(t, f.source, "k", "ES256", fresh.Public())
}

func remove(f *jwksFile) {
	f.t.Helper()
	if err := os.Remove(f.path); err != nil {
		f.t.Fatal(err)
	}
}

// TestFileWithoutUsableKeyReplacesNoGoodOne: nor does one that only looks usable.
func TestFileWithoutUsableKeyReplacesNoGoodOne(t *testing.T) {
	old := testkeys.New("ES256", "old")
	f := newJWKSFile(t, testkeys.Set(old))
	finds(t, f.source, "old", "ES256", old.Public())
	f.becomes(testkeys.Set(testkeys.New("ES256", "new").JWK().With("y", base64URL(make([]byte, 32)))))
	f.advance(time.Second)
	finds(t, f.source, "old", "ES256", old.Public())
	f.says(t, `key "new" of the set is not used`, "the keys read before stay: none of its 1 keys can be used")
}
