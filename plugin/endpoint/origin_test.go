package endpoint

import "testing"

func TestSameOrigin(t *testing.T) {
	for _, c := range []struct {
		rule, a, b string
		same       bool
	}{
		{"other paths and queries", "https://idp.test/realms/a", "https://idp.test/keys?x=1", true},
		{"the default port", "https://idp.test", "https://idp.test:443/keys", true},
		{"the default port of http", "http://idp.test:80", "http://idp.test", true},
		{"upper case", "HTTPS://IDP.test", "https://idp.test", true},
		{"an IPv6 address", "https://[::1]:8443/a", "https://[::1]:8443/b", true},
		{"another scheme", "https://idp.test", "http://idp.test", false},
		{"another scheme, the same port", "https://idp.test:443", "http://idp.test:443", false},
		{"another host", "https://idp.test", "https://keys.idp.test", false},
		{"a host that begins alike", "https://idp.test", "https://idp.test.evil.example", false},
		{"another port", "https://idp.test", "https://idp.test:8443", false},
		{"a user that looks like a host", "https://idp.test", "https://idp.test@evil.example", false},
		{"no address", "https://idp.test", "", false},
		{"no addresses", "", "", false},
		{"nothing that can be read", "https://idp.test", "https://idp.test:x/", false},
	} {
		if got := sameOrigin(c.a, c.b); got != c.same {
			t.Errorf("%s: got %t", c.rule, got)
		}
		if got := sameOrigin(c.b, c.a); got != c.same {
			t.Errorf("%s, the other way round: got %t", c.rule, got)
		}
	}
}
