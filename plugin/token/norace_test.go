//go:build !race

package token_test

const spare = 1
