package guard_test

import (
	"errors"
	"io"
	"runtime"
	"testing"

	"go-jwt-auth/plugin/guard"
)

func TestCatch(t *testing.T) {
	caught := func(do func()) (fault error) {
		defer guard.Catch(func(f error) { fault = f })
		do()
		return nil
	}
	if fault := caught(func() {}); fault != nil {
		t.Errorf("without a panic: %v", fault)
	}
	if fault := caught(func() { panic("text") }); fault == nil || fault.Error() != "text" {
		t.Errorf("a text: got %v", fault)
	}
	if fault := caught(func() { panic(io.EOF) }); !errors.Is(fault, io.EOF) {
		t.Errorf("an error: got %v", fault)
	}
	var none []int
	if fault := caught(func() { none[0] = 1 }); !errors.As(fault, new(runtime.Error)) {
		t.Errorf("a fault of the runtime: got %v", fault)
	}
}
