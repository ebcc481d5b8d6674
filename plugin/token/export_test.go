package token

// All are the claims as they were read.
func (c Claims) All() map[string]any {
	all, _ := c.all.Any().(map[string]any)
	return all
}

// Verifies tells whether key verifies the signature of signed by an algorithm.
func Verifies(algorithm, signed, signature string, key any) bool {
	return methodOf(algorithm).Verify(signed, []byte(signature), key) == nil
}

// Recall returns the header of a token that is remembered.
func (v *Verifier) Recall(t Text) (Header, bool) {
	r, remembered := v.memory.get(t, v.now())
	return r.header, remembered
}

// Remembered is how many tokens are remembered, and what they take in bytes.
func (v *Verifier) Remembered() (tokens, bytes int) { return v.memory.tokens.Len(), v.memory.bytes }

// MaxRememberedBytes is the bound of that.
const MaxRememberedBytes = maxRememberedBytes

// InDER is a signature by ECDSA in ASN.1.
func InDER(signature []byte) []byte { return inDER(signature) }
