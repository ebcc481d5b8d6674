package main

import (
	"slices"
	"testing"
	"time"

	"go-jwt-auth/test/brokers"
)

func TestWhatIsChosen(t *testing.T) {
	all := brokers.All()
	oldest, middle, newest := all[0].Name, all[1].Name, all[len(all)-1].Name
	var trials []trial
	trials = append(trials, trial{part: partLogin, name: primitives, reference: true})
	for _, v := range all {
		trials = append(trials,
			trial{version: v.Name, part: partLogin, name: anonymous, reference: true},
			trial{version: v.Name, part: partLogin, name: repeated},
			trial{version: v.Name, part: partBystander, name: anonymous, reference: true},
			trial{version: v.Name, part: partBystander, name: scenario{name: "onRetry", plugin: true, delay: 100 * time.Millisecond}.title()},
		)
	}
	for _, c := range []struct {
		text string
		want []string
	}{
		{oldest + " login: repeated", []string{"login: " + primitives, oldest + " login: anonymous", oldest + " login: repeated token"}},
		{"repeated", []string{
			"login: " + primitives, oldest + " login: anonymous", oldest + " login: repeated token",
			newest + " login: anonymous", newest + " login: repeated token",
		}},
		{newest + " bystander: onRetry, 100 ms", []string{newest + " bystander: anonymous", newest + " bystander: onRetry, 100 ms"}},
		{middle + " login", []string{"login: " + primitives, middle + " login: anonymous", middle + " login: repeated token"}},
		{"nothing of the kind", nil},
	} {
		var got []string
		for _, chosen := range choose(trials, c.text) {
			got = append(got, chosen.title())
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%q chooses %q, want %q", c.text, got, c.want)
		}
	}
	if got := choose(trials, ""); len(got) != 1+2*4 {
		t.Errorf("by default %d are chosen", len(got))
	}
}
