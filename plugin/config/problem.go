package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"go-jwt-auth/plugin/verdict"
)

// Severity says whether a Problem keeps the file from being used.
type Severity string

// The severities. Only an error leaves Load without a Config.
const (
	SeverityError   Severity = "error"
	SeverityWarning Severity = "warning"
)

// Problem is one thing that is wrong with a file. No part of it ever shows a secret.
type Problem struct {
	// Path is where in the JSON, e.g. `$.options.modes.jwks.uri`; empty where the file as a whole is meant.
	Path string
	// Line and Column count from 1, columns in characters; both are 0 where the file could not be read.
	Line, Column int
	Severity     Severity
	// Text says what is wrong and what would be right.
	Text string
	// UnknownKey marks the warning about a key that the format does not have. Who checks a file by hand (the checking
	// command, an editor with the JSON Schema) is better served by an error.
	UnknownKey bool
}

// String is the path, where there is one, and the text.
func (p Problem) String() string {
	if p.Path == "" {
		return p.Text
	}
	return p.Path + ": " + p.Text
}

// Problems is everything that is wrong with a file, in the order of the file.
type Problems []Problem

// Error is one line for each problem. An empty list is no error: ask len before handing it on as one.
func (ps Problems) Error() string {
	texts := make([]string, len(ps))
	for i, p := range ps {
		texts[i] = p.String()
	}
	return strings.Join(texts, "\n")
}

// Errors are those that keep the file from being used.
func (ps Problems) Errors() Problems { return ps.only(SeverityError) }

// Warnings are those that don't.
func (ps Problems) Warnings() Problems { return ps.only(SeverityWarning) }

func (ps Problems) only(s Severity) Problems {
	return slices.DeleteFunc(slices.Clone(ps), func(p Problem) bool { return p.Severity != s })
}

// Lines is one line for each problem: `FILE:LINE:COLUMN: SEVERITY: PATH: TEXT`, as editors and compilers write it.
func (ps Problems) Lines(file string) []string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		where := verdict.Line(file)
		if p.Line > 0 {
			where = fmt.Sprintf("%s:%d:%d", where, p.Line, p.Column)
		}
		lines[i] = fmt.Sprintf("%s: %s: %s", where, p.Severity, p)
	}
	return lines
}

func (ps Problems) sort() {
	slices.SortStableFunc(ps, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
}
