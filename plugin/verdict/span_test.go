package verdict_test

import (
	"testing"
	"time"

	"go-jwt-auth/plugin/verdict"
)

func TestSpan(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0 s", 300 * time.Millisecond: "300 ms", time.Second: "1 s", 1600 * time.Millisecond: "2 s", 90 * time.Second: "90 s",
		119 * time.Second: "119 s", 2 * time.Minute: "2 min", 5*time.Minute + 31*time.Second: "6 min", time.Hour: "60 min",
		3 * time.Hour: "3 h", 47 * time.Hour: "47 h", 50 * time.Hour: "2 days", 27100*time.Hour + 23*time.Minute + 29*time.Second: "3 years",
		700 * 24 * time.Hour: "700 days", 100 * 365 * 24 * time.Hour: "100 years",
	} {
		if got := verdict.Span(d); got != want {
			t.Errorf("%s: got %s, want %s", d, got, want)
		}
	}
}
