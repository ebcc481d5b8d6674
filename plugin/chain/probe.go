package chain

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"go-jwt-auth/plugin/event"
	"go-jwt-auth/plugin/guard"
	"go-jwt-auth/plugin/provider"
)

// Probe reaches the endpoints of the providers that want it before the broker starts (`lazyConnect` false), but for those that
// were kept, all at once. It returns what was seen, and an error for each thing without which nobody could log in; see
// provider.Probe.
func (c *Chain) Probe(ctx context.Context) ([]event.Note, error) {
	notes, errs := make([][]event.Note, len(c.providers)), make([]error, len(c.providers))
	var all sync.WaitGroup
	for i, p := range c.providers {
		if c.kept[p] != nil || p.Config().LazyConnect {
			continue
		}
		all.Go(func() {
			defer guard.Catch(func(fault error) { errs[i] = fmt.Errorf("fault: %w", fault) })
			notes[i], errs[i] = p.Probe(ctx)
		})
	}
	all.Wait()
	return slices.Concat(notes...), errors.Join(errs...)
}

// TryOut does what Probe has not done for a provider: it reaches the endpoints if the file does not want that before the broker
// starts, and asks the introspection endpoint about a made-up token; see provider.TryCredentials.
func TryOut(ctx context.Context, p *provider.Provider) (notes []event.Note, err error) {
	if p.Config().LazyConnect {
		if notes, err = p.Probe(ctx); err != nil {
			return notes, WrapEach(err, func(each error) error {
				return fmt.Errorf("%w; %s is true, so logins will try again", each, p.Key("options.lazyConnect"))
			})
		}
	}
	return append(notes, p.TryCredentials(ctx)...), nil
}

// Parts are the errors that errors.Join has joined, one to a line of the log. A line break in a text does not divide it: it can
// come from outside.
func Parts(err error) []error {
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return []error{err}
	}
	var all []error
	for _, each := range joined.Unwrap() {
		all = append(all, Parts(each)...)
	}
	return all
}

// WrapEach puts words around each of the errors that errors.Join has joined.
func WrapEach(err error, wrap func(error) error) error {
	var all []error
	for _, each := range Parts(err) {
		all = append(all, wrap(each))
	}
	return errors.Join(all...)
}
