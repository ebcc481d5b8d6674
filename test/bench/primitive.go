package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"fmt"
	"runtime"
	"time"
)

// primitives is the trial of the cryptography alone, which costs are given in units of.
const primitives = "the signature alone"

// verification is the metric of one algorithm.
func verification(alg string) metric { return metric(alg + ", µs") }

// unit is P.
var unit = verification(rs256)

// primitives measures how long a signature takes to verify with the standard library: what is signed is hashed already but for
// EdDSA, which hashes it itself.
func (r *rig) primitives(st *stand) sample {
	text := []byte(claimsText)
	digest := sha256.Sum256(text)
	s := sample{}
	for alg, key := range r.keys.byAlg {
		message, options := digest[:], crypto.SignerOpts(crypto.SHA256)
		if alg == eddsa {
			message, options = text, crypto.Hash(0)
		}
		signature, err := key.private.Sign(rand.Reader, message, options)
		st.must(err)
		verify := func() bool { return false }
		switch public := key.private.Public().(type) {
		case *rsa.PublicKey:
			verify = func() bool { return rsa.VerifyPKCS1v15(public, crypto.SHA256, message, signature) == nil }
		case *ecdsa.PublicKey:
			verify = func() bool { return ecdsa.VerifyASN1(public, message, signature) }
		case ed25519.PublicKey:
			verify = func() bool { return ed25519.Verify(public, message, signature) }
		}
		s[verification(alg)], err = cost(verify)
		st.must(err)
	}
	return s
}

// claimsText is as long as what is signed of a token.
var claimsText = fmt.Sprintf("%01300d", 0)

// cost is what a verification takes of a processor, in µs.
func cost(verify func() bool) (float64, error) {
	const enough = 100 * time.Millisecond
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	begin, spent, times := threadCPU(), time.Duration(0), 0
	for spent < enough {
		for range 100 {
			if !verify() {
				return 0, fmt.Errorf("bench: a good signature is called a bad one")
			}
			times++
		}
		spent = threadCPU() - begin
	}
	return us(spent) / float64(times), nil
}
