package testkeys

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	_ "crypto/sha256" // the hashes that algorithms name
	_ "crypto/sha512"
	"encoding/json"
	"fmt"
	"maps"
	"strings"
)

// Object is a JSON object: the header or the claims of a token. A json.RawMessage in it stands as it is.
type Object = map[string]any

// Sign makes a token of the claims, which may be nil, with alg, typ and, where the key has one, kid in its header.
func (k Key) Sign(claims Object) string { return k.SignWith(nil, claims) }

// SignWith is Sign with some members of the header set, or removed where their value is nil.
func (k Key) SignWith(header, claims Object) string {
	if claims == nil {
		claims = Object{}
	}
	full := Object{"alg": k.Alg, "typ": "JWT"}
	if k.ID != "" {
		full["kid"] = k.ID
	}
	maps.Copy(full, header)
	maps.DeleteFunc(full, func(_ string, value any) bool { return value == nil })
	return k.SignRaw(string(must(json.Marshal(full))), string(must(json.Marshal(claims))))
}

// SignRaw makes a token of the texts of a header and a payload, whatever they are.
func (k Key) SignRaw(header, payload string) string {
	return k.SignText(encode([]byte(header)) + "." + encode([]byte(payload)))
}

// SignText appends the signature of text.
func (k Key) SignText(text string) string { return text + "." + encode(k.Signature(text)) }

// Signature signs text by the key's algorithm (RFC 7518 §3, RFC 8037 §3.1).
func (k Key) Signature(text string) []byte {
	hash := hashOf(k.Alg)
	digest := func() []byte {
		h := hash.New()
		h.Write([]byte(text))
		return h.Sum(nil)
	}
	switch private := k.Private.(type) {
	case *rsa.PrivateKey:
		if strings.HasPrefix(k.Alg, "PS") {
			return must(rsa.SignPSS(rand.Reader, private, hash, digest(), &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash}))
		}
		return must(rsa.SignPKCS1v15(rand.Reader, private, hash, digest()))
	case *ecdsa.PrivateKey:
		r, s, err := ecdsa.Sign(rand.Reader, private, digest())
		must(r, err)
		size := (private.Curve.Params().BitSize + 7) / 8
		return append(r.FillBytes(make([]byte, size)), s.FillBytes(make([]byte, size))...)
	case ed25519.PrivateKey:
		return ed25519.Sign(private, []byte(text))
	case []byte:
		mac := hmac.New(hash.New, private)
		mac.Write([]byte(text))
		return mac.Sum(nil)
	default:
		panic(fmt.Sprintf("no signature by %T", private))
	}
}

func hashOf(alg string) crypto.Hash {
	switch {
	case strings.HasSuffix(alg, "256"):
		return crypto.SHA256
	case strings.HasSuffix(alg, "384"):
		return crypto.SHA384
	default:
		return crypto.SHA512
	}
}
