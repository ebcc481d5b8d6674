package docs

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const troubleshooting = "docs/troubleshooting.md"

// reasons are those in the code.
func reasons(t *testing.T) map[string]bool {
	t.Helper()
	all := map[string]bool{}
	for _, file := range sources(t, "plugin/verdict") {
		ast.Inspect(file, func(n ast.Node) bool {
			if spec, ok := n.(*ast.ValueSpec); ok {
				if kind, ok := spec.Type.(*ast.Ident); ok && kind.Name == "Reason" {
					all[literal(spec.Values[0])] = true
				}
			}
			return true
		})
	}
	if len(all) < 20 {
		t.Fatalf("only %d reasons were found", len(all))
	}
	return all
}

// Every reason for a refusal has a heading of its own, and no heading names another.
func TestEveryReasonIsExplained(t *testing.T) {
	reasons := reasons(t)
	explained := map[string]bool{}
	for _, heading := range regexp.MustCompile("(?m)^### `(.*)`$").FindAllStringSubmatch(string(read(t, troubleshooting)), -1) {
		explained[heading[1]] = true
		if !reasons[heading[1]] {
			t.Errorf("%q is no reason", heading[1])
		}
	}
	for reason := range reasons {
		if !explained[reason] {
			t.Errorf("%q is not explained", reason)
		}
	}
}

// Every warning and error that the plugin logs is explained, and every line that is explained can be logged.
func TestEveryLineIsExplained(t *testing.T) {
	var all, loud []string // what can be printed; what must be explained
	for _, file := range sources(t, "plugin", "cgo") {
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.ReturnStmt: // in event.Event.AppendLine
				if len(n.Results) == 2 && isOneOf(n.Results[0], "Warning", "Error", "Notice") {
					loud = append(loud, literal(n.Results[1]))
				}
			case *ast.CallExpr:
				loud = append(loud, spoken(n)...)
				all = append(all, literal(n))
			case ast.Expr:
				if text := literal(n); len(text) > 8 {
					all = append(all, text)
				}
			}
			return true
		})
	}
	for _, name := range []string{"cgo/plugin.c", "cgo/musl/loader.c"} {
		for _, line := range logged(string(read(t, name))) {
			all, loud = append(all, line), append(loud, line)
		}
	}
	for i := range all {
		all[i] = fixed(all[i])
	}
	var explained []string
	for _, b := range blocks(t, troubleshooting) {
		for line := range strings.Lines(b.text) {
			line = strings.TrimSpace(line)
			explained = append(explained, line)
			for part := range strings.SplitSeq(line, "…") {
				if part = strings.TrimSpace(part); len(part) > 8 && !strings.HasPrefix(part, "jwt.json:") && !strings.HasPrefix(line, refused) && !anyHolds(all, part) {
					t.Errorf("nothing prints %q", part)
				}
			}
		}
	}
	if len(loud) < 20 {
		t.Fatalf("only %d warnings and errors were found", len(loud))
	}
	text := strings.Join(explained, "\n")
	for _, line := range loud {
		if part := longest(fixed(line)); len(part) > 8 && !strings.Contains(text, part) {
			t.Errorf("%q is not explained: %s", part, line)
		}
	}
}

// spoken are the lines that a call logs at a level at which somebody should look: warnings, errors and notices.
func spoken(call *ast.CallExpr) []string {
	name := ""
	switch f := call.Fun.(type) {
	case *ast.SelectorExpr:
		name = f.Sel.Name
	case *ast.Ident:
		name = f.Name
	}
	switch {
	case name == "log" && len(call.Args) > 1 && isOneOf(call.Args[0], "Warning", "Error", "Notice"):
		return []string{literal(call.Args[1])}
	case name == "Warn" && len(call.Args) == 1: // event.Warn
		return []string{literal(call.Args[0])}
	case name == "warn" && len(call.Args) == 2: // in Advise
		return []string{literal(call.Args[1])}
	case name == "warnf": // about a key of jwt.json
		// What has no effect says itself beside what, or without what.
		if text := literal(call.Args[1]); !strings.HasPrefix(text, "has no effect") {
			return []string{text}
		}
	}
	return nil
}

func isOneOf(e ast.Expr, names ...string) bool {
	if selected, ok := e.(*ast.SelectorExpr); ok {
		e = selected.Sel
	}
	ident, ok := e.(*ast.Ident)
	return ok && slices.Contains(names, ident.Name)
}

// literal is the text of an expression, as far as it stands in the source; "%v" stands for the rest. The path of a key is that
// in a file with one provider.
func literal(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.BasicLit:
		if text, err := strconv.Unquote(e.Value); err == nil && e.Kind == token.STRING {
			return text
		}
	case *ast.BinaryExpr:
		if e.Op == token.ADD {
			return literal(e.X) + literal(e.Y)
		}
	case *ast.ParenExpr:
		return literal(e.X)
	case *ast.CallExpr:
		switch {
		case isOneOf(e.Fun, "Sprintf", "Errorf"):
			return formatted(e.Args)
		case isOneOf(e.Fun, "Appendf"):
			return formatted(e.Args[1:])
		case isOneOf(e.Fun, "append") && len(e.Args) == 2:
			return literal(e.Args[1])
		case isOneOf(e.Fun, "appendToken"): // of event.Event
			return literal(e.Args[0])
		case isOneOf(e.Fun, "at", "Key") && len(e.Args) == 1: // config.Path.Key
			return "$." + literal(e.Args[0])
		}
	}
	return "%v"
}

// formatted is the text of a format and its arguments.
func formatted(args []ast.Expr) string {
	n := 0
	return verb.ReplaceAllStringFunc(literal(args[0]), func(v string) string {
		n++
		if n < len(args) && literal(args[n]) != "%v" {
			return literal(args[n])
		}
		return v
	})
}

var verb = regexp.MustCompile(`%[-+#.0-9]*[a-z]`)

// fixed is a format with "…" for its verbs.
func fixed(format string) string { return verb.ReplaceAllString(format, "…") }

func longest(line string) (part string) {
	for each := range strings.SplitSeq(line, "…") {
		if each = strings.TrimSpace(each); len(each) > len(part) {
			part = each
		}
	}
	return part
}

func anyHolds(texts []string, part string) bool {
	for _, text := range texts {
		if strings.Contains(text, part) {
			return true
		}
	}
	return false
}

// logged are the lines that C code logs: the literals of each call, joined.
func logged(source string) (lines []string) {
	source = strings.ReplaceAll(source, "PRELOADED \"", "\"/usr/lib/go_jwt_auth_preload.so")
	for _, call := range regexp.MustCompile(`(?s)(?:gja_log|mosquitto_log_printf)\(MOSQ_LOG_ERR,(.*?)\);`).FindAllStringSubmatch(source, -1) {
		var line string
		for _, quoted := range regexp.MustCompile(`"(?:[^"\\]|\\.)*"`).FindAllString(call[1], -1) {
			if text, err := strconv.Unquote(quoted); err == nil {
				line += text
			}
		}
		lines = append(lines, strings.TrimPrefix(line, "go_jwt_auth: "))
	}
	return lines
}

// sources parses the Go files of these folders and all below them, without the tests.
func sources(t *testing.T, folders ...string) (files []*ast.File) {
	t.Helper()
	for _, folder := range folders {
		err := filepath.WalkDir(filepath.Join(root(t), folder), func(path string, _ fs.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			source, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			file, err := parser.ParseFile(token.NewFileSet(), path, source, 0)
			files = append(files, file)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return files
}
