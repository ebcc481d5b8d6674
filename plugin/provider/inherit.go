package provider

import "go-jwt-auth/plugin/keyset"

// Inherit gives a provider that is about to come into force what the one before has learnt of the provider, as far as it is
// asked in the same way: the last good keys and where the provider has its endpoints, which are read again at once, and serve
// only where that fails; and what speaks against tokens and the revocation endpoint. What speaks for a token is never taken
// over. It is to be called once, before the first login, and waits for nothing.
func (p *Provider) Inherit(from *Provider) {
	if p.discovery != nil && from.discovery != nil {
		p.discovery.Inherit(from.discovery)
	}
	if p.keys != nil && from.keys != nil {
		keyset.Inherit(p.keys, from.keys)
	}
	if p.checker != nil && from.checker != nil {
		p.checker.Inherit(from.checker)
	}
}
