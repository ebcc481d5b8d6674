package config

import (
	"slices"
	"testing"
)

func TestProblems(t *testing.T) {
	problems := Problems{
		{Path: "$.a", Line: 2, Column: 3, Severity: SeverityWarning, Text: "is odd"},
		{Line: 1, Column: 1, Severity: SeverityError, Text: "is wrong"},
		{Severity: SeverityError, Text: "is not there"},
	}
	want := []string{"/etc/jwt.json:2:3: warning: $.a: is odd", "/etc/jwt.json:1:1: error: is wrong", "/etc/jwt.json: error: is not there"}
	if got := problems.Lines("/etc/jwt.json"); !slices.Equal(got, want) {
		t.Errorf("Lines: got %q", got)
	}
	if got := problems.Error(); got != "$.a: is odd\nis wrong\nis not there" {
		t.Errorf("Error: got %q", got)
	}
	if got := problems.Errors(); !slices.Equal(got, problems[1:]) {
		t.Errorf("Errors: got %v", got)
	}
	if got := problems.Warnings(); !slices.Equal(got, problems[:1]) {
		t.Errorf("Warnings: got %v", got)
	}
	if len(problems) != 3 || problems[0].Text != "is odd" {
		t.Errorf("the list itself changed: %v", problems)
	}
}
