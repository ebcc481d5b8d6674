package main

import "testing"

func TestWhatAnAnswerShows(t *testing.T) {
	for answer, want := range map[string]int{
		`{"responses":[{"data":{"totalCount":2,"sessions":[{"clientid":"a","login":"token"},{"clientid":"b"}]}}]}`: 2,
		`{"responses":[{"data":{"revision":7,"sessions":[{"clientid":"a"}],"ended":["b","c"],"more":false}}]}`:     3,
		`{"responses":[{"data":{"revision":7,"sessions":[],"ended":["b"]}}]}`:                                      1,
		`{"responses":[{"data":{"revision":7,"sessions":[],"ended":[]}}]}`:                                         0,
	} {
		if got := shown([]byte(answer)); got != want {
			t.Errorf("%s: %d", answer, got)
		}
	}
	if n, err := number([]byte(`{"totalCount":50123,"revision":7}`), "totalCount"); n != 50123 || err != nil {
		t.Error(n, err)
	}
	if _, err := number([]byte(`{"totalCount":"x"}`), "totalCount"); err == nil {
		t.Error("a text is a number")
	}
}
