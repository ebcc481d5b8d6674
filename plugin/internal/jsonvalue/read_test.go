package jsonvalue_test

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"

	"go-jwt-auth/plugin/internal/jsonvalue"
)

func TestObject(t *testing.T) {
	want := map[string]any{
		"a": json.Number("1.0"), "A": json.Number("76561198000000001"), "b": []any{true, false, nil, "ž\u2028"},
		"c": map[string]any{"a": "", "d": []any{}}, "": json.Number("1e400"),
	}
	got, err := jsonvalue.Object([]byte(" {\"a\":1.0,\"A\":76561198000000001,\"b\":[true,false,null,\"\\u017e\\u2028\"],\n\"c\":{\"a\":\"\",\"d\":[]},\"\":1e400} \n"))
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, %v", got, err)
	}
}

func TestObjectRefuses(t *testing.T) {
	nested := func(levels int) string {
		return strings.Repeat(`{"a":`, levels) + `1` + strings.Repeat(`}`, levels)
	}
	for _, c := range []struct {
		rule, in string
		want     error
	}{
		{"nothing", ``, jsonvalue.ErrNotJSON},
		{"white space", " \n", jsonvalue.ErrNotJSON},
		{"null", `null`, jsonvalue.ErrNotObject},
		{"an array", `[{}]`, jsonvalue.ErrNotObject},
		{"a string", `"{}"`, jsonvalue.ErrNotObject},
		{"a number", `1`, jsonvalue.ErrNotObject},
		{"HTML", `<html>`, jsonvalue.ErrNotJSON},
		{"an end too soon", `{"a":1`, jsonvalue.ErrNotJSON},
		{"a comma too many", `{"a":1,}`, jsonvalue.ErrNotJSON},
		{"a name that sounds like another fault", `{"UTF-8":{"surrogate":x}}`, jsonvalue.ErrNotJSON},
		{"words", `{a:1}`, jsonvalue.ErrNotJSON},
		{"NaN", `{"a":NaN}`, jsonvalue.ErrNotJSON},
		{"a number with a leading zero", `{"a":01}`, jsonvalue.ErrNotJSON},
		{"rubbish behind it", `{"a":1}garbage`, jsonvalue.ErrTrailing},
		{"a second object behind it", `{"a":1}{"exp":0}`, jsonvalue.ErrTrailing},
		{"a NUL behind it", "{\"a\":1}\x00", jsonvalue.ErrTrailing},
		{"a byte order mark", "\uFEFF{}", jsonvalue.ErrNotJSON},
		{"invalid UTF-8 in a value", "{\"a\":\"\xff\"}", jsonvalue.ErrUTF8},
		{"invalid UTF-8 in a name", "{\"\xff\":1}", jsonvalue.ErrUTF8},
		{"a lone surrogate", `{"a":"\ud800"}`, jsonvalue.ErrUTF8},
		{"too many levels", nested(257), jsonvalue.ErrDepth},
		{"too many levels of arrays", `{"a":` + strings.Repeat(`[`, 256) + strings.Repeat(`]`, 256) + `}`, jsonvalue.ErrDepth},
		{"a control character in a string", "{\"a\":\"\n\"}", jsonvalue.ErrNotJSON},
	} {
		t.Run(c.rule, func(t *testing.T) {
			if got, err := jsonvalue.Object([]byte(c.in)); !errors.Is(err, c.want) || got != nil {
				t.Errorf("got %v, %v, want %v", got, err, c.want)
			}
		})
	}
	if _, err := jsonvalue.Object([]byte(nested(256))); err != nil {
		t.Errorf("as many levels as may be: %v", err)
	}
}

func TestObjectRefusesANameTwice(t *testing.T) {
	for _, in := range []string{`{"exp":1,"iss":"a","exp":2}`, `{"a":{"exp":1,"exp":1}}`, `{"a":[{"exp":1,"\u0065xp":1}]}`} {
		_, err := jsonvalue.Object([]byte(in))
		var duplicate *jsonvalue.DuplicateError
		if !errors.As(err, &duplicate) || duplicate.Name != "exp" {
			t.Errorf("%s: got %v", in, err)
		}
	}
	if _, err := jsonvalue.Object([]byte(`{"exp":1,"Exp":2,"nested":{"exp":3}}`)); err != nil {
		t.Errorf("names that differ: %v", err)
	}
}

func TestADocumentMayBeginWithAByteOrderMark(t *testing.T) {
	if got, err := jsonvalue.Document([]byte("\uFEFF{\"a\":true}")); err != nil || got["a"] != true {
		t.Errorf("got %v, %v", got, err)
	}
}
