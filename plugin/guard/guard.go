// Package guard keeps a panic from taking the broker down. What becomes of the work that has panicked is for its caller to
// say: a refusal, an error, a line of the log.
package guard

import "fmt"

// Catch ends a panic and calls then with its value as an error; without a panic it does nothing. It has to be deferred
// itself, on the goroutine that may panic: "defer guard.Catch(…)".
func Catch(then func(fault error)) {
	switch fault := recover().(type) {
	case nil:
	case error:
		then(fault)
	default:
		then(fmt.Errorf("%v", fault))
	}
}
