package loop

// Ticks notices a broker that never ticks. The first Tick is asked for at start, and a broker that ticks does so before
// the first of its clients has sent anything: to accept a connection and to read from it takes it two rounds of its loop, each
// with a Tick.
type Ticks struct {
	seen, warned bool
}

// Tick notes that there was one.
func (t *Ticks) Tick() { t.seen = true }

// Seen tells whether there was one.
func (t *Ticks) Seen() bool { return t.seen }

// Warned tells whether Missing has been true.
func (t *Ticks) Warned() bool { return t.warned }

// Missing tells, of a callback that is about a client, whether this broker gives no Tick; first is true once.
func (t *Ticks) Missing() (missing, first bool) {
	if t.seen {
		return false, false
	}
	first = !t.warned
	t.warned = true
	return true, first
}
