package verdict

// Check is one step of a verdict: what was checked, what was expected and what was found.
type Check struct {
	// Name is the claim, header parameter or step: "exp", "alg", "signature", "introspection".
	Name string
	// OK is false for the check that decided against the token, which is the last one.
	OK              bool
	Expected, Found string
}

// Trace lists the checks of one login in the order in which they were made, for the command-line tool.
type Trace []Check

// Pass records a check that the token has passed.
func (t *Trace) Pass(name, expected, found string) { t.add(name, true, expected, found) }

// add makes each text one line, since the tool prints a trace without the log's own escaping.
func (t *Trace) add(name string, ok bool, expected, found string) {
	if t == nil {
		return
	}
	*t = append(*t, Check{Name: Line(name), OK: ok, Expected: Line(expected), Found: Line(found)})
}

// Fail records the check that decided, and returns the refusal.
func (t *Trace) Fail(reason Reason, name, expected, found string) Verdict {
	t.add(name, false, expected, found)
	return Refuse(reason, "%s must be %s, found %s", name, expected, found)
}

// FailWith records the check that decided, and returns v: for a refusal that Fail would word badly.
func (t *Trace) FailWith(v Verdict, name, expected, found string) Verdict {
	t.add(name, false, expected, found)
	return v
}
