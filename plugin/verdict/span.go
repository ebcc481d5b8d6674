package verdict

import (
	"fmt"
	"time"
)

// Span formats a duration in the largest unit of which it holds at least two: "90 s", "45 min", "30 h", "12 days", "3 years".
// Below a second it is in ms.
func Span(d time.Duration) string {
	const day, year = 24 * time.Hour, 8766 * time.Hour
	for _, unit := range []struct {
		name string
		long time.Duration
	}{{"years", year}, {"days", day}, {"h", time.Hour}, {"min", time.Minute}} {
		if d >= 2*unit.long {
			return fmt.Sprintf("%d %s", (d+unit.long/2)/unit.long, unit.name)
		}
	}
	if d < time.Second && d >= time.Millisecond {
		return fmt.Sprintf("%d ms", d.Milliseconds())
	}
	return fmt.Sprintf("%d s", (d+time.Second/2)/time.Second)
}
