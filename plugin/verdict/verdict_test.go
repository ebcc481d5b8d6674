package verdict_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"slices"
	"strconv"
	"testing"

	"go-jwt-auth/plugin/verdict"
)

func TestNobodySetAVerdict(t *testing.T) {
	var v verdict.Verdict
	if v.Kind != verdict.Deny {
		t.Errorf("the zero Verdict is %s", v.Kind)
	}
	if kind := verdict.Kind(200); kind.String() != "deny" {
		t.Errorf("a Kind that is none is called %s", kind)
	}
}

func TestString(t *testing.T) {
	cases := []struct {
		v    verdict.Verdict
		want string
	}{
		{verdict.Verdict{Kind: verdict.Accept}, "accept"},
		{verdict.Verdict{Kind: verdict.Defer}, "defer"},
		{verdict.Verdict{Kind: verdict.Deny, Reason: verdict.Expired}, "expired"},
		{verdict.Refuse(verdict.Expired, "%d s ago", 5), "expired: 5 s ago"},
		{verdict.Verdict{Kind: verdict.Retry, Reason: verdict.KeysUnavailable, Detail: "on their way"}, "keys unavailable: on their way"},
	}
	for _, c := range cases {
		if got := c.v.String(); got != c.want {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
	if kinds := fmt.Sprint(verdict.Deny, verdict.Accept, verdict.Defer, verdict.Retry, verdict.Pending); kinds != "deny accept defer retry pending" {
		t.Errorf("kinds are called %s", kinds)
	}
}

// TestReasonsAreStable: users search their logs for these texts, so that none may change and a new one is added here.
func TestReasonsAreStable(t *testing.T) {
	want := map[string]string{
		"NotAToken":           "not a token",
		"TooLong":             "too long",
		"Encrypted":           "encrypted token",
		"Malformed":           "malformed token",
		"WrongAlgorithm":      "wrong algorithm",
		"UnknownKey":          "unknown key",
		"KeysUnavailable":     "keys unavailable",
		"BadSignature":        "bad signature",
		"WrongType":           "wrong token type",
		"Expired":             "expired",
		"NoExpiration":        "no expiration",
		"NotYetValid":         "not yet valid",
		"WrongIssuer":         "wrong issuer",
		"WrongAudience":       "wrong audience",
		"MissingClaim":        "missing claim",
		"MissingScope":        "missing scope",
		"NoIdentity":          "no identity",
		"UnsafeIdentity":      "unsafe identity",
		"IdentityMismatch":    "identity mismatch",
		"MalformedRights":     "malformed rights",
		"ClientIDTaken":       "client id taken",
		"Revoked":             "revoked",
		"Blocked":             "blocked",
		"ByAdmin":             "by an admin",
		"ProviderUnavailable": "provider unavailable",
		"ServerBusy":          "server busy",
		"InternalError":       "internal error",
	}
	got := reasons(t)
	for name := range want {
		if got[name] != want[name] {
			t.Errorf("%s is %q, want %q", name, got[name], want[name])
		}
	}
	for name := range got {
		if _, listed := want[name]; !listed {
			t.Errorf("%s is not listed here", name)
		}
	}
	texts := slices.Sorted(maps.Values(got))
	if unique := slices.Compact(slices.Clone(texts)); len(unique) != len(texts) {
		t.Errorf("two reasons share a text: %q", texts)
	}
}

// reasons reads the constants of type Reason out of the source.
func reasons(t *testing.T) map[string]string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "verdict.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		if name, ok := spec.Type.(*ast.Ident); ok && name.Name == "Reason" {
			text, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
			if err != nil {
				t.Fatal(err)
			}
			found[spec.Names[0].Name] = text
		}
		return false
	})
	return found
}

func TestTrace(t *testing.T) {
	var trace verdict.Trace
	trace.Pass("alg", "RS256", "RS256")
	got := trace.Fail(verdict.WrongIssuer, "iss", `"a"`, `"b"`)
	if want := verdict.Refuse(verdict.WrongIssuer, `iss must be "a", found "b"`); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	own := verdict.Refuse(verdict.Expired, "long ago")
	if got := trace.FailWith(own, "exp", "after now", "before"); got != own {
		t.Errorf("got %+v, want %+v", got, own)
	}
	strange := trace
	if v := strange.Fail(verdict.WrongIssuer, "a\nb", "\x1b", "\u202e"); v.Detail != `a\nb must be \x1b, found \u202e` {
		t.Errorf("got %+v", v)
	}
	if got, want := strange[3], (verdict.Check{Name: `a\nb`, Expected: `\x1b`, Found: `\u202e`}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	want := verdict.Trace{
		{Name: "alg", OK: true, Expected: "RS256", Found: "RS256"},
		{Name: "iss", Expected: `"a"`, Found: `"b"`},
		{Name: "exp", Expected: "after now", Found: "before"},
	}
	if !slices.Equal(trace, want) {
		t.Errorf("got %+v, want %+v", trace, want)
	}
}
