//go:build race

package token_test

// spare is by how much more is allocated under the race detector, which takes things out of pools at random.
const spare = 3
