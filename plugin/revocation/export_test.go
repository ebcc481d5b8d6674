package revocation

import "crypto/sha256"

// Prefetching tells whether an answer of Prefetch is yet to be put down. Caches may know it before that.
func (c *Checker) Prefetching(token string) bool {
	c.prefetched.mu.Lock()
	defer c.prefetched.mu.Unlock()
	_, asking := c.prefetched.inflight[sha256.Sum256([]byte(token))]
	return asking
}
