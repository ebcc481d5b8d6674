package revocation

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go-jwt-auth/plugin/config"
	"go-jwt-auth/plugin/endpoint"
	"go-jwt-auth/plugin/event"
	"go-jwt-auth/plugin/verdict"
)

// Every message names a key by its path in the file, which is another for each provider.
func TestMessagesNameTheProvidersKeys(t *testing.T) {
	const timeout = 10 * time.Second
	open := func(path config.Path, locate func(context.Context) (string, error), report func(event.Note)) *Checker {
		c, err := New(&config.Revocation{
			Timeout: timeout, MaxConcurrent: 1, RetryWindow: time.Second, Cache: config.AnswerCache{MaxEntries: 1},
		}, Options{Path: path, Locate: locate, Now: time.Now, Report: report})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	quiet := func(event.Note) {}
	acquire := func(c *Checker, token string) *Slot {
		slot, err := c.Acquire(token, time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		return slot
	}
	said := func(c *Checker, answer Answer) string {
		_, v := c.Judge(answer, new(verdict.Trace))
		return v.String()
	}
	nobody := func(context.Context) (string, error) { return "", errors.New("down") }
	never := func(ctx context.Context) (string, error) { <-ctx.Done(); return "", ctx.Err() }

	for _, c := range []struct {
		rule, key string
		message   func(path config.Path) string
	}{
		{"a key that can't be read", "introspection.clientKey", func(path config.Path) string {
			_, err := newSigner(config.Introspection{}, path)
			return err.Error()
		}},
		{"wrong credentials", "introspection.clientId", func(path config.Path) string {
			_, err := introspection{path: path}.read(&endpoint.Answer{Status: http.StatusUnauthorized})
			return err.Error()
		}},
		{"an answer that is not JSON", "plain.response.jsonPath", func(path config.Path) string {
			p := plain{config.Plain{Response: config.Response{SuccessCodes: []int{200}, JSONPath: "a"}}, path}
			_, err := p.read(&endpoint.Answer{Status: http.StatusOK})
			return err.Error()
		}},
		{"a full queue", "maxConcurrent", func(path config.Path) string {
			checker := open(path, never, quiet)
			for range maxSharing {
				acquire(checker, "token")
			}
			_, err := checker.Acquire("token", time.Time{})
			return err.Error()
		}},
		{"no turn in time", "maxConcurrent", func(path config.Path) string {
			checker := open(path, never, quiet)
			go acquire(checker, "first").Ask(context.Background())
			synctest.Wait()
			return said(checker, acquire(checker, "second").Ask(context.Background()))
		}},
		{"a late turn", "maxConcurrent", func(path config.Path) string {
			waits := timeout * 3 / 4
			checker := open(path, func(ctx context.Context) (string, error) {
				if wait := waits; wait > 0 {
					waits = 0
					time.Sleep(wait)
					return "", errUnfit
				}
				return never(ctx)
			}, quiet)
			go acquire(checker, "first").Ask(context.Background())
			synctest.Wait()
			return said(checker, acquire(checker, "second").Ask(context.Background()))
		}},
		{"a client that comes too late for its answer", "retryWindowMs", func(path config.Path) string {
			checker := open(path, nobody, quiet)
			var told string
			for range 2 {
				var err error
				if told, err = checker.Prefetch("token", time.Time{}); err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Minute)
			}
			return told
		}},
		{"an endpoint that fails", "onUnavailable", func(path config.Path) string {
			var told string
			checker := open(path, nobody, func(n event.Note) { told = n.Text })
			for range failuresInARow {
				acquire(checker, "token").Ask(context.Background())
			}
			return told
		}},
		{"one that fails after a reload", "onUnavailable", func(path config.Path) string {
			var told string
			before := open(config.At("$.providers[7]"), nobody, func(event.Note) { t.Error("the Checker before the reload reports") })
			checker := open(path, nobody, func(n event.Note) { told = n.Text })
			checker.Inherit(before)
			for range failuresInARow {
				acquire(checker, "token").Ask(context.Background())
			}
			return told
		}},
	} {
		t.Run(c.rule, func(t *testing.T) {
			for path, prefix := range map[config.Path]string{{}: "$.", config.At("$"): "$.", config.At("$.providers[1]"): "$.providers[1]."} {
				synctest.Test(t, func(t *testing.T) {
					message := c.message(path)
					if want := prefix + "options.revocation." + c.key; strings.Count(message, "$.") != 1 || !strings.Contains(message, want) {
						t.Errorf("%q: got %s, want %s", path, message, want)
					}
				})
			}
		})
	}
}
