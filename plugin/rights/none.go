package rights

// None are those of a client whose token gives it no rights, as its provider has no `authorization`: others decide, but about
// RenewalTopic.
var None = &Rights{defers: true} //nolint:gochecknoglobals // a constant
