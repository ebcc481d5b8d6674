package provider

import (
	"context"

	"go-jwt-auth/plugin/guard"
	"go-jwt-auth/plugin/keyset"
	"go-jwt-auth/plugin/revocation"
	"go-jwt-auth/plugin/verdict"
)

// Open is a login that is not ended: its verdict is pending, or an Accept is still to be confirmed. Either Finish or Drop ends
// it, and one of them must be called, once: the provider stays open for it until then.
type Open struct{ judgement *judgement }

// newOpen takes a copy: most judgements end at once, and need not be kept.
func newOpen(j *judgement) *Open {
	kept := *j
	j.Provider.open.Add(1)
	return &Open{&kept}
}

// Finish waits for the keys and for the endpoint, within their timeouts and until ctx ends, and returns the result. That may be
// an Accept that is still to be confirmed: then the Open that comes with it is to be ended in its turn.
func (o *Open) Finish(ctx context.Context) (Result, *Open) {
	j := o.judgement
	defer j.Provider.open.Done()
	o.decide(ctx)
	return j.leave()
}

// decide ends the judgement, and turns a panic into a refusal: what stands above waits for a verdict.
func (o *Open) decide(ctx context.Context) {
	j := o.judgement
	defer guard.Catch(denyOn(&j.Verdict))
	if j.needsKeys {
		j.needsKeys = false
		if j.manner == renewal {
			ctx = keyset.HoldsUpNobody(ctx)
		}
		j.Provider.verify(ctx, j)
		if j.Kind != verdict.Pending {
			return
		}
	}
	said := j.ask(ctx)
	j.Provider.applyAnswer(said, j)
}

func (j *judgement) ask(ctx context.Context) revocation.Answer {
	slot := j.slot
	j.slot = nil
	return slot.Ask(ctx)
}

// Drop gives up.
func (o *Open) Drop() {
	j := o.judgement
	if j.slot != nil {
		j.slot.Release()
		j.slot = nil
	}
	j.Provider.open.Done()
}

// denyOn makes a panic a refusal; see guard.Catch.
func denyOn(v *verdict.Verdict) func(error) {
	return func(fault error) { *v = verdict.Refuse(verdict.InternalError, "fault: %s", fault) }
}
