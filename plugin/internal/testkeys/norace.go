//go:build !race

package testkeys

// UnderRace tells whether the race detector is on: it changes what things cost.
const UnderRace = false
