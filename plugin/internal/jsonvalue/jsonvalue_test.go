package jsonvalue_test

import (
	"encoding/json"
	"math/big"
	"strings"
	"testing"

	"go-jwt-auth/plugin/internal/jsonvalue"
)

func TestEqual(t *testing.T) {
	number := func(text string) any { return json.Number(text) }
	cases := []struct {
		rule string
		a, b any
		want bool
	}{
		{"strings", "a", "a", true},
		{"strings, case counts", "a", "A", false},
		{"booleans", true, true, true},
		{"booleans that differ", true, false, false},
		{"a number is no string", number("1"), "1", false},
		{"a number is no boolean", number("1"), true, false},
		{"null equals nothing", nil, nil, false},
		{"an object equals nothing", map[string]any{}, map[string]any{}, false},
		{"an array equals nothing", []any{}, []any{}, false},

		{"whole", number("1"), number("1.0"), true},
		{"with an exponent", number("1"), number("1e0"), true},
		{"with a capital E and a sign", number("1"), number("10E-01"), true},
		{"with zeros behind the point", number("0.1"), number("0.10"), true},
		{"with zeros before an exponent", number("1e2"), number("1e+0002"), true},
		{"hundreds", number("100"), number("1e2"), true},
		{"a fraction by exponent", number("0.005"), number("5e-3"), true},
		{"shifted both ways", number("12.5e1"), number("1250e-1"), true},
		{"of other magnitude", number("1"), number("10"), false},
		{"of another fraction", number("0.1"), number("0.01"), false},
		{"of another sign", number("1"), number("-1"), false},
		{"below zero", number("-1.50"), number("-15e-1"), true},
		{"zero", number("0"), number("0.000"), true},
		{"zero below zero", number("0"), number("-0"), true},
		{"zero with an exponent", number("0"), number("0e99999999999999999999999"), true},
		{"zero is not very little", number("0"), number("1e-400"), false},

		{"over 2^53", number("76561198000000001"), number("76561198000000002"), false},
		{"over 2^53, the same", number("76561198000000001"), number("76561198000000001.0"), true},
		{"a fraction that no float holds", number("0.1"), number("0.1000000000000000055511151231257827"), false},
		{"beyond all floats", number("1e400"), number("10e399"), true},
		{"beyond all floats, another", number("1e400"), number("1e401"), false},
		{"the largest exponents", number("1e1000000000"), number("1e1000000001"), false},
		{"the largest exponents, the same", number("1e1000000000"), number("0.1e1000000001"), true},
		{"the least exponents", number("1e-1000000000"), number("1e-1000000001"), false},
		{"an exponent of 64 bits, in two spellings: too far to tell", number("1e9223372036854775807"), number("10e9223372036854775806"), false},
		{"an exponent of more, spelled alike", number("1e99999999999999999999"), number("1e99999999999999999999"), true},
		{"an exponent of more", number("1e99999999999999999999"), number("1e99999999999999999998"), false},
		{"very many digits", number(strings.Repeat("9", 60000)), number(strings.Repeat("9", 59999) + "8"), false},
		{"very many digits, the same", number(strings.Repeat("9", 60000)), number(strings.Repeat("9", 60000) + ".00"), true},
	}
	for _, c := range cases {
		t.Run(c.rule, func(t *testing.T) {
			if jsonvalue.Equal(c.a, c.b) != c.want || jsonvalue.Equal(c.b, c.a) != c.want {
				t.Errorf("got %t for %.40v and %.40v", !c.want, c.a, c.b)
			}
		})
	}
}

func TestNumericDate(t *testing.T) {
	const none = -1
	cases := []struct {
		rule, in string
		want     int64
	}{
		{"whole", "1795446000", 1795446000},
		{"zero", "0", 0},
		{"zero below zero", "-0.0", 0},
		{"with an exponent", "1.7e9", 1700000000},
		{"with an exponent below zero", "17000000000000e-4", 1700000000},
		{"with a fraction", "1795446000.75", 1795446000},
		{"the fraction is cut off", "1795446000.99", 1795446000},
		{"a fraction that a float rounds up", "1795446000.99999999999", 1795446000},
		{"less than a second", "0.5", 0},
		{"very little", "1e-1000000000", 0},
		{"many digits behind the point", "1795446000." + strings.Repeat("9", 60000), 1795446000},
		{"the end of year 9999", "253402300799", 253402300799},
		{"its last moment, which a float rounds up", "253402300799.99999999", 253402300799},
		{"after it", "253402300800", none},
		{"after it, with an exponent", "2.534023008e11", none},
		{"in ms", "1795446000000", none},
		{"below zero", "-1", none},
		{"a little below zero", "-0.5", none},
		{"very little below zero", "-1e-400", none},
		{"beyond all floats", "1e400", none},
		{"of the largest exponents", "1e1000000000", none},
		{"of an exponent of more than 64 bits", "1e99999999999999999999", none},
	}
	for _, c := range cases {
		t.Run(c.rule, func(t *testing.T) {
			at, ok := jsonvalue.NumericDate(json.Number(c.in))
			if ok != (c.want != none) || ok && (at.Unix() != c.want || at.Nanosecond() != 0) {
				t.Errorf("got %d, %t", at.Unix(), ok)
			}
		})
	}
	for _, other := range []any{nil, "1795446000", true, []any{json.Number("1")}, map[string]any{}} {
		if at, ok := jsonvalue.NumericDate(other); ok {
			t.Errorf("%v is %s", other, at)
		}
	}
}

// FuzzNumbers holds comparisons and times against exact fractions.
func FuzzNumbers(f *testing.F) {
	for _, seed := range []string{"0", "-0", "1", "1.0", "10e-1", "76561198000000001", "76561198000000002.0", "253402300799.9", "1.7e9", "1e20", "0.1e-7"} {
		f.Add(seed, "1")
		f.Add(seed, seed+"0")
	}
	exact := func(text string) (*big.Rat, bool) {
		if len(text) > 60 || !json.Valid([]byte(text)) || !strings.ContainsAny(text[:1], "-0123456789") {
			return nil, false
		}
		if at := strings.LastIndexAny(text, "eE"); at >= 0 && len(text)-at > 4 {
			return nil, false // too large for a fraction
		}
		return new(big.Rat).SetString(text)
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		fa, ok := exact(a)
		fb, too := exact(b)
		if !ok || !too {
			t.Skip()
		}
		if got := jsonvalue.Equal(json.Number(a), json.Number(b)); got != (fa.Cmp(fb) == 0) {
			t.Errorf("%s and %s: got %t", a, b, got)
		}
		whole := new(big.Int).Quo(fa.Num(), fa.Denom())
		valid := fa.Sign() >= 0 && whole.Cmp(big.NewInt(253402300799)) <= 0
		if at, got := jsonvalue.NumericDate(json.Number(a)); got != valid || got && at.Unix() != whole.Int64() {
			t.Errorf("%s: got %d, %t", a, at.Unix(), got)
		}
	})
}
