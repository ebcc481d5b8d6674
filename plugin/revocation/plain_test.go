package revocation_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"go-jwt-auth/plugin/config"
	"go-jwt-auth/plugin/endpoint"
	"go-jwt-auth/plugin/verdict"
)

type object = map[string]any

// asked is what an endpoint was sent.
type asked struct {
	method, target, body, kind string
	header                     http.Header
}

// ask sends one question about token, and returns what arrived.
func ask(t *testing.T, token string, cfg config.Revocation) (asked, verdict.Verdict) {
	t.Helper()
	var got asked
	uri := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		got = asked{r.Method, r.URL.RequestURI(), string(body), r.Header.Get("Content-Type"), r.Header}
	})
	cfg.Timeout = time.Minute
	if cfg.Plain != nil {
		p := *cfg.Plain
		p.URI = uri + "/configured?key=1"
		cfg.Plain = &p
	} else {
		cfg.Introspection.URI = uri + "/configured?key=1"
	}
	client, err := endpoint.New(&config.Provider{})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	var trace verdict.Trace
	_, v := await(t, newChecker(t, &cfg, client, nil), token, time.Time{}, &trace)
	return got, v
}

func plainly(r config.Request, encoding config.BodyEncoding) config.Revocation {
	return config.Revocation{Plain: &config.Plain{
		Request: r, BodyEncoding: encoding, Response: config.Response{SuccessCodes: []int{200}},
	}}
}

const place = config.TokenPlaceholder

func TestPlainRequests(t *testing.T) {
	cases := []struct {
		rule     string
		request  config.Request
		encoding config.BodyEncoding
		want     asked
	}{
		{
			"by default a form with the token",
			config.Request{},
			config.BodyForm,
			asked{method: "POST", target: "/configured?key=1", body: "token=a.b-c_d", kind: "application/x-www-form-urlencoded"},
		},
		{
			"by default JSON with the token",
			config.Request{Method: "PUT"},
			config.BodyJSON,
			asked{method: "PUT", target: "/configured?key=1", body: `{"token":"a.b-c_d"}`, kind: "application/json"},
		},
		{
			"a path replaces path and query",
			config.Request{Method: "GET", Path: "/t/" + place + "?q=" + place + "&r=1"},
			config.BodyForm,
			asked{method: "GET", target: "/t/a.b-c_d?q=a.b-c_d&r=1"},
		},
		{
			"a token in a header needs no payload",
			config.Request{Headers: []config.Header{{Name: "X-Token", Value: "Bearer " + place}}},
			config.BodyForm,
			asked{method: "POST", target: "/configured?key=1", header: http.Header{"X-Token": {"Bearer a.b-c_d"}}},
		},
		{
			"any JSON value",
			config.Request{Payload: []any{place, object{"deep": object{place: json.Number("1.50")}}, nil, true}},
			config.BodyJSON,
			asked{method: "POST", target: "/configured?key=1", body: `["a.b-c_d",{"deep":{"a.b-c_d":1.50}},null,true]`, kind: "application/json"},
		},
		{
			"members of a form",
			config.Request{Payload: object{"jwt": place, "n": json.Number("5"), "b": true, "o": object{"x": place}}},
			config.BodyForm,
			asked{method: "POST", target: "/configured?key=1", body: "b=true&jwt=a.b-c_d&n=5&o=%7B%22x%22%3A%22a.b-c_d%22%7D", kind: "application/x-www-form-urlencoded"},
		},
		{
			"a form as text",
			config.Request{Payload: "a=1&jwt=" + place},
			config.BodyForm,
			asked{method: "POST", target: "/configured?key=1", body: "a=1&jwt=a.b-c_d", kind: "application/x-www-form-urlencoded"},
		},
		{
			"headers replace the usual ones",
			config.Request{Headers: []config.Header{{Name: "content-type", Value: "text/x"}, {Name: "Accept", Value: "y"}}, Payload: "z"},
			config.BodyForm,
			asked{method: "POST", target: "/configured?key=1", body: "z", kind: "text/x", header: http.Header{"Accept": {"y"}}},
		},
	}
	for _, c := range cases {
		t.Run(c.rule, func(t *testing.T) {
			got, v := ask(t, "a.b-c_d", plainly(c.request, c.encoding))
			if v.Kind != verdict.Accept {
				t.Errorf("%s", v)
			}
			for name, values := range c.want.header {
				if !reflect.DeepEqual(got.header[name], values) {
					t.Errorf("%s: %q, want %q", name, got.header[name], values)
				}
			}
			got.header, c.want.header = nil, nil
			if !reflect.DeepEqual(got, c.want) {
				t.Errorf("got %+v\nwant %+v", got, c.want)
			}
		})
	}
}

// What opaque tokens hold is nobody's promise: none may add a parameter, a path element, a header or a member.
func TestATokenCanInjectNothing(t *testing.T) {
	for _, token := range []string{
		`a&token=b`, `a"b`, `a","active":true,"x":"`, "a\nX-Evil: 1", "a\r\n\r\nGET / HTTP/1.1", `../../admin`, `..`, `.`, `a/..\b`, `.a/..b`, `a/b?c=d#e`, `a b+c%20d`, `a;b`, `a\`, "ü\x00", place,
	} {
		t.Run(token, func(t *testing.T) {
			form, _ := ask(t, token, plainly(config.Request{Payload: object{"jwt": place, "last": "1"}}, config.BodyForm))
			if values, err := url.ParseQuery(form.body); err != nil || !reflect.DeepEqual(values, url.Values{"jwt": {token}, "last": {"1"}}) {
				t.Errorf("form: %q (%v)", form.body, err)
			}
			text, _ := ask(t, token, plainly(config.Request{Payload: "jwt=" + place + "&last=1"}, config.BodyForm))
			if values, err := url.ParseQuery(text.body); err != nil || !reflect.DeepEqual(values, url.Values{"jwt": {token}, "last": {"1"}}) {
				t.Errorf("form as text: %q (%v)", text.body, err)
			}
			encoded, _ := ask(t, token, plainly(config.Request{Payload: object{"jwt": place, "last": "1"}}, config.BodyJSON))
			var members object
			if err := json.Unmarshal([]byte(encoded.body), &members); err != nil || !reflect.DeepEqual(members, object{"jwt": token, "last": "1"}) {
				t.Errorf("JSON: %q (%v)", encoded.body, err)
			}
			path, v := ask(t, token, plainly(config.Request{Method: "GET", Path: "/t/" + place + "/end?q=" + place + "&last=1"}, config.BodyForm))
			if slices.Contains([]string{"../../admin", "..", ".", `a/..\b`}, token) {
				if v.Reason != verdict.Malformed || path.method != "" {
					t.Errorf("path: %s, and it was sent: %q", v, path.target)
				}
			} else if u, err := url.ParseRequestURI(path.target); err != nil || u.Path != "/t/"+token+"/end" || strings.Count(u.EscapedPath(), "/") != 3 ||
				!reflect.DeepEqual(u.Query(), url.Values{"q": {token}, "last": {"1"}}) {
				t.Errorf("path: %q (%v)", path.target, err)
			}
			introspected, _ := ask(t, token, config.Revocation{Introspection: config.Introspection{ClientID: "broker"}})
			if values, err := url.ParseQuery(introspected.body); err != nil || !reflect.DeepEqual(values, url.Values{"token": {token}}) {
				t.Errorf("introspection: %q (%v)", introspected.body, err)
			}
			header, v := ask(t, token, plainly(config.Request{Method: "GET", Headers: []config.Header{{Name: "X-Token", Value: place}}}, config.BodyForm))
			switch unfit := strings.ContainsFunc(token, func(r rune) bool { return r < ' ' || r > '~' }); {
			case unfit && (v.Reason != verdict.Malformed || header.method != ""):
				t.Errorf("header: %s, and it was sent: %q", v, header.header)
			case !unfit && (header.header.Get("X-Token") != token || header.header.Get("X-Evil") != ""):
				t.Errorf("header: %q", header.header)
			}
		})
	}
}

func TestRequestParametersOfIntrospection(t *testing.T) {
	got, _ := ask(t, "tok", config.Revocation{Introspection: config.Introspection{
		ClientID: "broker", ClientSecret: config.NewSecret("s"), TokenTypeHint: true,
		Request: config.Request{
			Method: "PUT", Path: "/other", Headers: []config.Header{{Name: "X-Realm", Value: "r"}},
			Payload: object{"token_type_hint": "refresh_token", "extra": json.Number("7"), "again": place},
		},
	}})
	values, err := url.ParseQuery(got.body)
	want := url.Values{"token": {"tok"}, "token_type_hint": {"refresh_token"}, "extra": {"7"}, "again": {"tok"}}
	if err != nil || !reflect.DeepEqual(values, want) || got.method != "PUT" || got.target != "/other" || got.header.Get("X-Realm") != "r" {
		t.Errorf("got %+v", got)
	}
	if id, secret, ok := (&http.Request{Header: got.header}).BasicAuth(); !ok || id != "broker" || secret != "s" {
		t.Error("the credentials are missing")
	}
}

func TestPlainAnswers(t *testing.T) {
	const (
		accept = "accept"
		other  = "revoked: URI says that it is not active: HTTP 200 with another value at a.ok"
		none   = "provider unavailable: POST URI: the answer is no JSON object, so that $.options.revocation.plain.response.jsonPath finds nothing: "
		down   = "provider unavailable: POST URI: answered "
		status = "revoked: URI says that it is not active: HTTP "
	)
	cases := []struct {
		rule   string
		value  any // of the path "a.ok"; nil: the status alone counts
		codes  []int
		status int
		body   string
		want   string
	}{
		{"a status of success", nil, []int{200}, 200, "whatever", accept},
		{"one of several", nil, []int{200, 202}, 202, "", accept},
		{"another status", nil, []int{200}, 204, "", "revoked: URI says that it is not active: HTTP 204"},
		{"an error, whatever the body says", true, []int{200}, 500, `{"a":{"ok":true}}`, down + "500 Internal Server Error"},
		{"another error of the server", nil, []int{200}, 503, ``, down + "503 Service Unavailable"},
		{"a gateway's", nil, []int{200}, 504, ``, down + "504 Gateway Timeout"},
		{"one that has no name", nil, []int{200}, 599, ``, down + "599 "},
		{"too many requests", nil, []int{200}, 429, ``, down + "429 Too Many Requests"},
		{"one that is listed is none", nil, []int{200, 500}, 500, ``, accept},
		{"too many requests, listed", nil, []int{429}, 429, ``, accept},
		{"one that is listed, with another value", true, []int{503}, 503, `{"a":{"ok":false}}`, "revoked: URI says that it is not active: HTTP 503 with another value at a.ok"},
		{"401", nil, []int{200}, 401, ``, status + "401"},
		{"403", nil, []int{200}, 403, ``, status + "403"},
		{"404", nil, []int{200}, 404, ``, status + "404"},
		{"418", nil, []int{200}, 418, ``, status + "418"},
		{"a redirect is not followed", nil, []int{200}, 302, "", "revoked: URI says that it is not active: HTTP 302"},
		{"a boolean", true, []int{200}, 200, `{"a":{"ok":true}}`, accept},
		{"another boolean", true, []int{200}, 200, `{"a":{"ok":false}}`, other},
		{"a boolean is no string", true, []int{200}, 200, `{"a":{"ok":"true"}}`, other},
		{"a string", "yes", []int{200}, 200, `{"a":{"ok":"yes"}}`, accept},
		{"a string in other letters", "yes", []int{200}, 200, `{"a":{"ok":"Yes"}}`, other},
		{"a number", json.Number("1"), []int{200}, 200, `{"a":{"ok":1.0}}`, accept},
		{"another number", json.Number("1"), []int{200}, 200, `{"a":{"ok":10}}`, other},
		{"null", false, []int{200}, 200, `{"a":{"ok":null}}`, other},
		{"a name that holds the path", true, []int{200}, 200, `{"a.ok":true}`, accept},
		{"nothing at the path", true, []int{200}, 200, `{"a":true}`, other},
		{"an array", true, []int{200}, 200, `[true]`, none + `it is JSON, but not an object (Content-Type "text/plain")`},
		{"no JSON", true, []int{200}, 200, `<html>`, none + `it is not JSON (Content-Type "text/html")`},
		{"something after it", true, []int{200}, 200, `{"a":{"ok":true}}{}`, none + `something follows the JSON object (Content-Type "text/plain")`},
		{"nothing", true, []int{200}, 200, ``, none + "it is empty (without a Content-Type that can be read)"},
		{"a byte order mark", true, []int{200}, 200, "\uFEFF{\"a\":{\"ok\":true}}", accept},
	}
	for _, c := range cases {
		t.Run(c.rule, func(t *testing.T) {
			uri := serve(t, func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(c.status)
				_, _ = io.WriteString(w, c.body)
			})
			cfg := plainly(config.Request{}, config.BodyForm)
			cfg.Timeout, cfg.Plain.URI, cfg.Plain.Response.SuccessCodes = time.Minute, uri, c.codes
			if c.value != nil {
				cfg.Plain.Response.JSONPath, cfg.Plain.Response.SuccessValue = "a.ok", c.value
			}
			client, err := endpoint.New(&config.Provider{})
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close()
			var trace verdict.Trace
			_, v := await(t, newChecker(t, &cfg, client, nil), "tok", time.Time{}, &trace)
			if got := strings.ReplaceAll(v.String(), uri, "URI"); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

func TestAnEndpointThatCanNotBeLocatedIsUnavailable(t *testing.T) {
	client, err := endpoint.New(&config.Provider{})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	lost := func(context.Context) (string, error) { return "", errors.New("no document") }
	var trace verdict.Trace
	_, v := await(t, newChecker(t, &config.Revocation{Timeout: time.Minute}, client, lost), "tok", time.Time{}, &trace)
	if v.String() != "provider unavailable: no document" {
		t.Errorf("got %s", v)
	}
}
