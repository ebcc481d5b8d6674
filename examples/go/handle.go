package main

import "fmt"

// handle does what is to be done with a message. Your code goes here; a panic of it is said, and the message counts as
// taken.
func handle(_ string, payload []byte) {
	fmt.Println("received", shown(string(payload)))
}
