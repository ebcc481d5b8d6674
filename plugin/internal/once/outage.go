package once

import "time"

// Rest is how long after a failed fetch there should be no other.
const Rest = time.Second

// Outage is why the last fetch has failed, and when it did. Zero: it has not.
type Outage struct {
	Err   error
	Since time.Time
}

// Resting tells whether the failure is less than Rest ago.
func (o Outage) Resting(now time.Time) bool { return o.Err != nil && Within(now.Sub(o.Since), Rest) }

// Within tells whether something is younger than limit. An age below zero is that of a clock that was set back.
func Within(age, limit time.Duration) bool { return age >= 0 && age < limit }
