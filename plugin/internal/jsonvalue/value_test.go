package jsonvalue_test

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"

	"go-jwt-auth/plugin/internal/jsonvalue"
)

func TestValue(t *testing.T) {
	const text = ` {"text" : "a\u00e4\"]" , "plain":"b" ,"n" : -1.50e2,"yes":true,"no":false,"none":null ,
		"list":[ "x" , ["]"],{"a":"}"} ,7,"\\" ],"empty":[ ],"nested": { "a.b":1, "a":{"b":2,"c\u002ed":"deep"} },"\u0065scaped":3,"nothing":{} } `
	read, err := jsonvalue.Read(text)
	if err != nil {
		t.Fatal(err)
	}
	members, err := jsonvalue.Object([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	for name, v := range map[string]jsonvalue.Value{"read": read, "decoded": jsonvalue.Of(members)} {
		t.Run(name, func(t *testing.T) {
			if !reflect.DeepEqual(v.Any(), any(members)) {
				t.Errorf("got %v", v.Any())
			}
			for path, want := range map[string]any{
				"text": `aä"]`, "plain": "b", "n": json.Number("-1.50e2"), "yes": true, "no": false, "none": nil, "escaped": json.Number("3"),
				"list": []any{"x", []any{"]"}, map[string]any{"a": "}"}, json.Number("7"), `\`}, "empty": []any{}, "nothing": map[string]any{},
				"nested.a.b": json.Number("1"), "nested.a.c.d": "deep",
			} {
				value, found := v.Lookup(path)
				if !found || !reflect.DeepEqual(value.Any(), want) {
					t.Errorf("%s: got %v, %t", path, value.Any(), found)
				}
				text, isText := value.Text()
				if wanted, is := want.(string); isText != is || text != wanted {
					t.Errorf("%s: the text is %q, %t", path, text, isText)
				}
				number, isNumber := value.Number()
				if wanted, is := want.(json.Number); isNumber != is || number != wanted {
					t.Errorf("%s: the number is %q, %t", path, number, isNumber)
				}
				all, isArray := elementsOf(value)
				if wanted, is := want.([]any); isArray != is || is && !reflect.DeepEqual(all, wanted) {
					t.Errorf("%s: the elements are %v, %t", path, all, isArray)
				}
				_, isObject := want.(map[string]any)
				if list, is := want.([]any); (isObject || is || want == nil) == value.Equals(want) {
					t.Errorf("%s equals %v: %t", path, list, value.Equals(want))
				}
				if value.Equals("another") {
					t.Errorf("%s equals another", path)
				}
			}
			for _, path := range []string{"", "Text", "a", "nested.a.c", "nested.a.b.c", "text.a", "list.a", "list.0", "none.a", "nothing.a", "nested.", "nested"[:5], `\u0065scaped`} {
				if value, found := v.Lookup(path); found {
					t.Errorf("%q: found %v", path, value.Any())
				}
			}
		})
	}
	if v := (jsonvalue.Value{}); v.Any() != nil || v.Equals(nil) {
		t.Errorf("the zero Value is %v", v.Any())
	}
}

func elementsOf(v jsonvalue.Value) (all []any, isArray bool) {
	all = []any{}
	isArray = v.Each(func(element jsonvalue.Value) bool {
		all = append(all, element.Any())
		return true
	})
	return all, isArray
}

func TestEachEndsWhenOneIsEnough(t *testing.T) {
	read, err := jsonvalue.Read(`{"a":["x","y"]}`)
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range []jsonvalue.Value{read, jsonvalue.Of(map[string]any{"a": []any{"x", "y"}})} {
		list, _ := v.Get("a")
		list.Each(func(element jsonvalue.Value) bool {
			if !element.Equals("x") {
				t.Errorf("got %v", element.Any())
			}
			return false
		})
	}
}

// FuzzRead holds Read against Object: the same errors, the same values, and each found by its name.
func FuzzRead(f *testing.F) {
	for _, seed := range []string{
		`{}`, ` { } `, `[]`, `null`, ``, ` `, `{"a":1}x`, `{"a":1}{}`, `{"a":1}  `, "\uFEFF{}", `{"a":1,}`, `{"a" "b"}`, `{"a":01}`, `{"a":[1,{"b":1,"b":2}]}`, `{"a":1,"\u0061":2}`,
		"{\"a\":\"\xff\"}", "{\"\xff\":1}", `{"a":"\ud800"}`, `{"a":"\ud83d\ude00\u0000\\\"\/"}`, `{"a\\":1,"\"":{"}":"]"},"c":[[],[{}],"\\"]}`, `{"a":{"a.b":[1.0e5,-0,true,false,null]},"a.a":""}`,
		strings.Repeat(`{"a":`, 256) + `1` + strings.Repeat(`}`, 256), strings.Repeat(`{"a":`, 257) + `1` + strings.Repeat(`}`, 257),
		`{"a":` + strings.Repeat(`[`, 256) + strings.Repeat(`]`, 256) + `}`, `{"a":` + strings.Repeat(`[`, 300), `{"a":` + strings.Repeat(`[`, 255) + `x`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		want, wrong := jsonvalue.Object([]byte(text))
		got, err := jsonvalue.Read(text)
		if (err == nil) != (wrong == nil) || err != nil && err.Error() != wrong.Error() {
			t.Fatalf("%q: got %v, want %v", text, err, wrong)
		}
		var one, other *jsonvalue.DuplicateError
		if errors.As(err, &one) != errors.As(wrong, &other) {
			t.Fatalf("%q: got %T, want %T", text, err, wrong)
		}
		if err != nil {
			return
		}
		if !reflect.DeepEqual(got.Any(), any(want)) {
			t.Fatalf("%q: got %v, want %v", text, got.Any(), want)
		}
		for name, value := range want {
			found, is := got.Lookup(name)
			if !is || !reflect.DeepEqual(found.Any(), value) {
				t.Fatalf("%q: %q: got %v, %t", text, name, found.Any(), is)
			}
			nested, _ := value.(map[string]any)
			for inner, value := range nested {
				if below, is := found.Get(inner); !is || !reflect.DeepEqual(below.Any(), value) {
					t.Fatalf("%q: %q in %q: got %v, %t", text, inner, name, below.Any(), is)
				}
			}
			if all, is := elementsOf(found); is && !reflect.DeepEqual(any(all), value) {
				t.Fatalf("%q: the elements of %q are %v", text, name, all)
			}
		}
	})
}
