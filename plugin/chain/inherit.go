package chain

import "go-jwt-auth/plugin/keyset"

// Inherit gives a chain that is about to come into force what the one before has learnt of the provider, as far as it is
// asked in the same way: the last good keys and where the provider has its endpoints, which are read again at once, and serve
// only where that fails; and what speaks against tokens and the revocation endpoint. What speaks for a token is never taken
// over. It is to be called once, before the first login, and waits for nothing.
func (c *Chain) Inherit(from *Chain) {
	if c.provider != nil && from.provider != nil && c.cfg.TLS == from.cfg.TLS {
		c.provider.Inherit(from.provider)
	}
	if c.keys != nil && from.keys != nil {
		keyset.Inherit(c.keys, from.keys)
	}
	if c.checker != nil && from.checker != nil {
		c.checker.Inherit(from.checker)
	}
}
