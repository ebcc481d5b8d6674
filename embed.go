// Package gojwtauth holds those documents of the project that its programs show.
package gojwtauth

import _ "embed" // for the texts below

// Troubleshooting is docs/troubleshooting.md: what each line of the log means, and what to do about each refusal.
//
//go:embed docs/troubleshooting.md
var Troubleshooting string
