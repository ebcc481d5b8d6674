package provider_test

import (
	"testing"

	"go-jwt-auth/plugin/broker"
	"go-jwt-auth/plugin/config"
	"go-jwt-auth/plugin/internal/testidp"
	"go-jwt-auth/plugin/internal/testkeys"
	"go-jwt-auth/plugin/provider"
	"go-jwt-auth/plugin/rights"
	"go-jwt-auth/plugin/verdict"
)

// authorization is one that reads the claim "mqtt", and gives each username and client id a topic.
func authorization(t *testing.T, of *config.Provider) *config.Authorization {
	t.Helper()
	of.Common.MatchUsername, of.Common.MatchClientID = true, true
	var topics []*config.TopicTemplate
	for _, text := range []string{"u/{username}", "c/{clientid}"} {
		topic, wrong := of.ParseTopic(text)
		if wrong != "" {
			t.Fatal(wrong)
		}
		topics = append(topics, topic)
	}
	return &config.Authorization{
		Rules:  []config.RightsClaim{{Claim: "mqtt", Format: config.RightsTopics}},
		Grants: []config.Grant{{Everyone: true, Publish: topics}}, OnNoMatch: config.NoMatchDeny, MaxRules: 256,
	}
}

// mayPublish lists those of some topics that the rights let their bearer publish to.
func mayPublish(held *rights.Rights) (all []string) {
	for _, topic := range []string{"a", "b", "u/alice", "u/u", "c/alice", "c/c"} {
		if held.Allow(broker.Write, topic, 0, false) == verdict.Accept {
			all = append(all, topic)
		}
	}
	return all
}

func wantRights(t *testing.T, what string, held *rights.Rights, want ...string) {
	t.Helper()
	if got := mayPublish(held); held == nil || len(got) != len(want) {
		t.Errorf("%s: may publish to %q, want %q", what, got, want)
	}
}

// Rights are those of the token, for the names that the client gets.
func TestRightsOfAToken(t *testing.T) {
	key := testkeys.New("EdDSA", "k")
	cfg := testidp.InFile(t, key)
	without, _ := newProvider(t, cfg)
	if r := check(t, without, key.Sign(object{"sub": "alice", "exp": now + 60, "mqtt": 1})); r.Kind != verdict.Accept || r.Rights != nil {
		t.Errorf("without authorization: %s, %v", r, r.Rights)
	}
	cfg.Authorization = authorization(t, cfg)
	judge, _ := newProvider(t, cfg)
	r := check(t, judge, key.Sign(object{"sub": "alice", "exp": now + 60, "mqtt": object{"publish": []any{"a"}}}))
	wantRights(t, "a good token", r.Rights, "a", "u/alice", "c/alice")
	r = check(t, judge, key.Sign(object{"sub": "alice", "exp": now + 60, "mqtt": 1}))
	if r.Reason != verdict.MalformedRights || r.Rights != nil {
		t.Errorf("malformed rights: %s, %v", r, r.Rights)
	}
	r = check(t, judge, key.Sign(object{"sub": "a/b", "exp": now + 60}))
	if r.Reason != verdict.UnsafeIdentity || r.Rights != nil {
		t.Errorf("refused by identity first: %s, %v", r, r.Rights)
	}
}

// The names that the client chooses count where nothing ties them, as ${username} of EMQX has it.
func TestRightsOfUntiedNames(t *testing.T) {
	key := testkeys.New("EdDSA", "k")
	cfg := testidp.InFile(t, key)
	cfg.Authorization = &config.Authorization{Rules: []config.RightsClaim{{Claim: "acl", Format: config.RightsEMQX}}, OnNoMatch: config.NoMatchDeny, MaxRules: 256}
	judge, _ := newProvider(t, cfg)
	r := check(t, judge, key.Sign(object{"sub": "alice", "exp": now + 60, "acl": object{"pub": []any{"u/${username}", "c/${clientid}"}}}))
	wantRights(t, "untied names", r.Rights, "u/u", "c/c")
}

// In mode introspection the answer has the rights, at the login and each time it is asked again.
func TestRightsOfAnOpaqueToken(t *testing.T) {
	p := testidp.New(t)
	cfg := p.Opaque()
	cfg.Authorization = authorization(t, cfg)
	judge, _ := newProvider(t, cfg)
	p.Does(nil, testidp.Answer(200, `{"active":true,"sub":"alice","exp":4102444800,"mqtt":{"publish":["a","b"]}}`))
	r := check(t, judge, "opaque-token")
	wantRights(t, "at the login", r.Rights, "a", "b", "u/alice", "c/alice")
	who := rights.Who{Username: "alice", ClientID: "alice"}
	for _, c := range []struct {
		answer string
		want   verdict.Kind
		rights []string
	}{
		{`{"active":true,"sub":"alice","mqtt":{"publish":["b"]}}`, verdict.Accept, []string{"b", "u/alice", "c/alice"}},
		{`{"active":true,"sub":"alice"}`, verdict.Accept, []string{"u/alice", "c/alice"}},
		{`{"active":true,"sub":"alice","mqtt":null}`, verdict.Accept, []string{"u/alice", "c/alice"}},
		{`{"active":true,"sub":"alice","mqtt":["b"]}`, verdict.Accept, []string{}},
		{`{"active":false}`, verdict.Deny, nil},
		{`down`, verdict.Deny, nil},
	} {
		p.Does(nil, testidp.Answer(200, c.answer))
		v, held := judge.Recheck(t.Context(), "opaque-token", r.Expiry, who)
		if v.Kind != c.want || (held == nil) != (c.rights == nil) {
			t.Errorf("%s: %s, %v", c.answer, v, held)
		}
		if held != nil {
			wantRights(t, c.answer, held, c.rights...)
		}
	}
}

// Of a signed token the endpoint says nothing about rights that the token itself does not.
func TestRecheckOfASignedTokenLeavesItsRights(t *testing.T) {
	p := testidp.New(t)
	key := testkeys.New("EdDSA", "k")
	p.Does(testidp.Answer(200, string(testkeys.Set(key))), testidp.Answer(200, `{"active":true,"mqtt":{"publish":["#"]}}`))
	cfg := p.Config("EdDSA")
	cfg.Revocation = p.Introspection()
	cfg.Authorization = authorization(t, cfg)
	judge, _ := newProvider(t, cfg)
	if v, held := judge.Recheck(t.Context(), key.Sign(object{"sub": "alice", "exp": now + 60}), provider.Result{}.Expiry, rights.Who{}); v.Kind != verdict.Accept || held != nil {
		t.Errorf("%s, %v", v, held)
	}
}
