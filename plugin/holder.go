package plugin

import (
	"go-jwt-auth/plugin/chain"
	"go-jwt-auth/plugin/session"
	"go-jwt-auth/plugin/verdict"
)

// contested is the client id of a login that has not just chosen it: one that is to be rewritten, or that the broker may
// have made of the username that the client claims (`use_username_as_clientid`), while the token gives it another name.
// Whoever is connected by such an id would be put out by somebody who had no right to it.
func contested(login Login, result chain.Result) (id string, is bool) {
	to := result.Identity
	switch {
	case to.ClientID != nil:
		return *to.ClientID, true
	case to.Username != nil && login.Username != nil && *login.Username == login.ClientID:
		return login.ClientID, true
	}
	return "", false
}

// mayHold refuses a login by a contested client id under which somebody else's session lives: it takes over only what came
// by a token of the same issuer and subject, as that is what makes it the same client. A session whose owner is not known
// (restored after a restart, forgotten) counts as its own if that has the mapped username, or none is mapped.
func (p *Plugin) mayHold(id string, c *chain.Chain, login Login, result chain.Result) *verdict.Verdict {
	refuse := func(whose string) *verdict.Verdict {
		v := verdict.Refuse(verdict.ClientIDTaken, "under the client id %s lives the session of %s", verdict.QuoteUnless(result.Bearer(), id), whose)
		return &v
	}
	username, there, known := p.broker.Session(id)
	switch p.table.holders.Holding(id, login.Client, ownerOf(result), p.now()) {
	case session.Own:
	case session.Others:
		return refuse("another subject, or of a client that did not log in by a token")
	case session.OthersAway:
		if there || !known {
			return refuse("another subject, or of a client that did not log in by a token, which is away")
		}
	case session.NotKnown:
		name := result.Identity.Username
		if name == nil && c.Config().Providers[0].Common.MatchUsername {
			name = login.Username // which is the mapped one
		}
		if there && name != nil && *name != username {
			return refuse("the username " + verdict.QuoteUnless(result.Bearer(), username))
		}
	}
	return nil
}

func ownerOf(result chain.Result) session.Owner {
	return session.OwnerOf(result.Issuer, result.Subject)
}
