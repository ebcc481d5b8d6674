// Command naive is a plugin as one would first write it in Go: a shared library that lets in who brings a password that is in a
// map. It shows what the way into Go and back costs a login, and does nothing else.
package main

/*
#cgo CFLAGS: -I${SRCDIR}/../../../include -Wall -Wextra
#cgo LDFLAGS: -Wl,--unresolved-symbols=ignore-all
#include "go_jwt_auth.h"
*/
import "C"

import (
	"os"
	"strings"
)

func main() {}

var passwords = map[string]struct{}{}

// naive_load reads the passwords that are accepted, one a line.
//
//export naive_load
func naive_load(path *C.char) C.int {
	content, err := os.ReadFile(C.GoString(path))
	if err != nil {
		return C.MOSQ_ERR_UNKNOWN
	}
	for password := range strings.Lines(string(content)) {
		passwords[strings.TrimSuffix(password, "\n")] = struct{}{}
	}
	return C.MOSQ_ERR_SUCCESS
}

//export naive_login
func naive_login(password *C.char) C.int {
	if password == nil {
		return C.MOSQ_ERR_AUTH
	}
	if _, known := passwords[C.GoString(password)]; !known {
		return C.MOSQ_ERR_AUTH
	}
	return C.MOSQ_ERR_SUCCESS
}
