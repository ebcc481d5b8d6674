package main

import (
	"fmt"
	"math"
	"slices"
	"time"
)

// series are the numbers of one metric, one a round. Two series of one part are of the same rounds, as far as both go: what is
// compared has met the same machine.
type series []float64

// each is f of two series, round by round.
func (s series) each(other series, f func(a, b float64) float64) series {
	all := make(series, min(len(s), len(other)))
	for i := range all {
		all[i] = f(s[i], other[i])
	}
	return all
}

func (s series) plus(other series) series {
	return s.each(other, func(a, b float64) float64 { return a + b })
}

func (s series) minus(other series) series {
	return s.each(other, func(a, b float64) float64 { return a - b })
}

func (s series) over(other series) series {
	return s.each(other, func(a, b float64) float64 { return a / b })
}

// median is the middle one, or the mean of the two in the middle; NaN if there are none.
func (s series) median() float64 {
	if len(s) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(s))
	return (sorted[(len(s)-1)/2] + sorted[len(s)/2]) / 2
}

// text is the median with the least and the greatest: "4.2 (4.0–4.7)".
func (s series) text(decimals int) string {
	if len(s) == 0 {
		return "–"
	}
	number := func(x float64) string {
		if x == lost {
			return "lost"
		}
		text := fmt.Sprintf("%.*f", decimals, x)
		if text == fmt.Sprintf("-%.*f", decimals, 0.0) {
			text = text[1:]
		}
		return text
	}
	middle, least, greatest := number(s.median()), number(slices.Min(s)), number(slices.Max(s))
	if least == greatest {
		return middle
	}
	return fmt.Sprintf("%s (%s–%s)", middle, least, greatest)
}

// percentile is the least time that percent of all do not exceed (the nearest rank), in ms; 0 if there are none.
func percentile(all []time.Duration, percent int) float64 {
	if len(all) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(all))
	return ms(sorted[max((len(sorted)*percent+99)/100, 1)-1])
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

func us(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }
