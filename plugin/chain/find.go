package chain

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"

	"go-jwt-auth/plugin/broker"
	"go-jwt-auth/plugin/config"
	"go-jwt-auth/plugin/provider"
	"go-jwt-auth/plugin/token"
	"go-jwt-auth/plugin/verdict"
)

// find finds the token of a login and chooses the provider that answers for it; with none, the verdict says what becomes of
// the login.
func (c *Chain) find(connect broker.Connect, trace *verdict.Trace) (*provider.Provider, provider.Login, verdict.Verdict) {
	login := provider.Login{Connect: connect, Trace: trace, ClaimedBy: c.claimedBy}
	shape, by := token.Other, (*provider.Provider)(nil)
	for _, source := range c.file.TokenSource {
		field := fieldOf(source, connect)
		if field == nil || *field == "" {
			continue
		}
		if refused := c.tooLong(*field, login.Trace); refused != nil {
			return nil, login, *refused
		}
		text := token.NewText(*field)
		if shape, login.Header, by = c.choice.classify(text); shape == token.Other && c.choice.opaque == nil {
			continue
		}
		login.Token = text
		if source == config.TokenInUsername {
			login.Username = nil // it has said nothing of who it is
		}
		break
	}
	if login.Token.Reveal() == "" {
		return nil, login, c.nonToken(connect, login.Trace)
	}
	chosen, v := c.choice.of(shape, by, &login)
	return chosen, login, v
}

// findIn is find for a token that does not come in a field where something else may be, but as what it is: nothing is left to others.
func (c *Chain) findIn(text string, connect broker.Connect) (*provider.Provider, provider.Login, verdict.Verdict) {
	login := provider.Login{Connect: connect, ClaimedBy: c.claimedBy}
	if refused := c.tooLong(text, nil); refused != nil {
		return nil, login, *refused
	}
	login.Token = token.NewText(text)
	shape, header, by := c.choice.classify(login.Token)
	if text == "" || shape == token.Other && c.choice.opaque == nil {
		found := "a text of another kind"
		if text == "" {
			found = "nothing"
		}
		return nil, login, verdict.Refuse(verdict.NotAToken, "it is %s", cmp.Or(token.Wrapping(text), found))
	}
	login.Header = header
	chosen, v := c.choice.of(shape, by, &login)
	return chosen, login, v
}

func (c *Chain) tooLong(text string, trace *verdict.Trace) *verdict.Verdict {
	most := c.file.MaxTokenBytes
	if len(text) <= most {
		return nil
	}
	v := trace.FailWith(verdict.Refuse(verdict.TooLong, "%d bytes, the most is %d ($.options.common.maxTokenBytes)", len(text), most),
		"length", fmt.Sprintf("at most %d bytes", most), strconv.Itoa(len(text)))
	return &v
}

// invisible is what is not a VSCHAR (RFC 6749 appendix A), of which access tokens consist.
func invisible(r rune) bool { return r < ' ' || r > '~' }

// fieldOf is what stands where a token may be.
func fieldOf(source config.TokenSource, connect broker.Connect) *string {
	if source == config.TokenInUsername {
		return connect.Username
	}
	return connect.Password
}

// OpaqueToken is the token of a login if any text may be one (mode introspection), so that nothing else tells it apart; else "".
// It is for messages: none may show it, in whatever field it is found.
func (c *Chain) OpaqueToken(connect broker.Connect) string {
	if c.choice.opaque == nil {
		return ""
	}
	for _, source := range c.file.TokenSource {
		if field := fieldOf(source, connect); field != nil && *field != "" {
			return *field
		}
	}
	return ""
}

// nonToken is the verdict on a login without a token. If there is one in a field with something around it, the Note says
// what: its client is about to be refused, and nobody else would tell why.
func (c *Chain) nonToken(connect broker.Connect, trace *verdict.Trace) verdict.Verdict {
	found, wrapped := "a password of another kind", ""
	if connect.Password == nil {
		found = "no password"
	}
	for _, source := range c.file.TokenSource {
		if field := fieldOf(source, connect); field != nil && wrapped == "" {
			wrapped = token.Wrapping(*field)
		}
	}
	if wrapped != "" {
		found = wrapped
	}
	if c.file.OnNonToken == config.NonTokenDeny {
		return trace.FailWith(verdict.Refuse(verdict.NotAToken, "%s, and $.options.common.onNonToken is %q", found, config.NonTokenDeny),
			"shape", "a signed token", found)
	}
	return trace.FailWith(verdict.Verdict{Kind: verdict.Defer, Note: wrapped}, "shape", "a signed token", found)
}

// checkOpaque refuses what nobody could have issued: some providers fail at it, and would be left alone for a stranger's sake.
func checkOpaque(login *provider.Login) *verdict.Verdict {
	if !strings.ContainsFunc(login.Token.Reveal(), invisible) {
		return nil
	}
	v := login.Trace.FailWith(verdict.Refuse(verdict.Malformed, "it holds characters that no access token has (RFC 6749 appendix A.12)"),
		"characters", "printable ASCII", "others")
	return &v
}
