package controltest

import (
	"encoding/json"
	"slices"
	"sync"
	"time"

	"go-jwt-auth/cmd/internal/control"
)

// Plugin answers the commands for what it is told, as Broker.Answer.
type Plugin struct {
	mu       sync.Mutex // guards all below
	sessions []control.Session
	// changes are client ids, the last one's revision is revision; those before oldest are forgotten.
	changes          []string
	revision, oldest uint64
	refusals         []control.Refusal
	blocks           []control.Block
	lastBlock        uint64
	asked            []Command
	came             map[string]uint64 // the revision at which each came, if Next is set

	// PageMost bounds what a page of sessions or refusals holds; 0: no bound. What else is known of a session stands in Details, by client id.
	PageMost uint64
	// Next has it say where the next page begins, by Came.
	Next    bool
	Status  control.Status
	Details map[string]control.SessionDetail
	// Incomplete makes the list incomplete.
	Incomplete string
}

// Put adds sessions, or puts them in the place of those of the same client ids.
func (p *Plugin) Put(sessions ...control.Session) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range sessions {
		if len(p.sessions) < 10_000 { // a list that long is not searched
			if i := p.find(s.ClientID); i >= 0 {
				p.sessions[i] = s
				p.changed(s.ClientID)
				continue
			}
		}
		p.sessions = append(p.sessions, s)
		p.changed(s.ClientID)
		if p.Next {
			if p.came == nil {
				p.came = map[string]uint64{}
			}
			p.came[s.ClientID] = p.revision
		}
	}
}

// End removes sessions.
func (p *Plugin) End(ids ...string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, id := range ids {
		p.sessions = slices.DeleteFunc(p.sessions, func(s control.Session) bool { return s.ClientID == id })
		p.changed(id)
	}
}

// Forget forgets all changes up to now, as a plugin does that is started again.
func (p *Plugin) Forget() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.revision += 100
	p.changes, p.oldest = nil, p.revision
}

// Refuse adds a refusal, which gets the next id.
func (p *Plugin) Refuse(r control.Refusal) {
	p.mu.Lock()
	defer p.mu.Unlock()
	r.ID = uint64(len(p.refusals) + 1)
	p.refusals = append(p.refusals, r)
}

// Asked are the commands of that name that came.
func (p *Plugin) Asked(name string) (all []Command) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.asked {
		if c.Name() == name {
			all = append(all, c)
		}
	}
	return all
}

func (p *Plugin) find(id string) int {
	return slices.IndexFunc(p.sessions, func(s control.Session) bool { return s.ClientID == id })
}

func (p *Plugin) changed(id string) {
	p.revision++
	p.changes = append(p.changes, id)
}

// Change has f change what is exported, while commands may come.
func (p *Plugin) Change(f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f()
}

// Answer is Broker.Answer.
func (p *Plugin) Answer(c Command) (data any, err string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	data, err = p.answer(c)
	text, _ := json.Marshal(data) // of structs; while nobody changes them
	return json.RawMessage(text), err
}

func (p *Plugin) answer(c Command) (data any, err string) {
	p.asked = append(p.asked, c)
	switch c.Name() {
	case "listSessions":
		return p.list(c), ""
	case "listSessionChanges":
		return p.listChanges(c)
	case "getSession":
		i := p.find(c.text("clientid"))
		if i < 0 {
			return nil, control.NoSuchClient
		}
		detail := p.Details[c.text("clientid")]
		detail.Session = p.sessions[i]
		return map[string]any{"session": detail}, ""
	case "disconnectSession":
		return p.disconnect(c), ""
	case "listRefusals":
		last := uint64(len(p.refusals))
		first := min(c.number("since", 0), last)
		until := last
		if p.PageMost > 0 {
			until = min(first+p.PageMost, last)
		}
		page := control.RefusalPage{TotalCount: len(p.refusals), LastID: last, Refusals: p.refusals[first:until]}
		return page, ""
	case "getStatus":
		return p.Status, ""
	case "listBlocks":
		return map[string]any{"totalCount": len(p.blocks), "blocks": p.blocks}, ""
	case "removeBlock":
		before := len(p.blocks)
		p.blocks = slices.DeleteFunc(p.blocks, func(b control.Block) bool { return b.ID == c.number("id", 0) })
		if len(p.blocks) == before {
			return nil, control.NoSuchBlock
		}
		return map[string]any{"removed": 1}, ""
	}
	return nil, "unknown command: " + c.Name()
}

func (p *Plugin) list(c Command) control.SessionPage {
	all := uint64(len(p.sessions))
	offset := min(c.number("offset", 0), all)
	if from := c.number("from", 0); from > 0 {
		offset = 0
		for offset < all && p.came[p.sessions[offset].ClientID] < from {
			offset++
		}
	}
	count := c.number("count", 100)
	if p.PageMost > 0 {
		count = min(count, p.PageMost)
	}
	page := control.SessionPage{
		TotalCount: len(p.sessions), Complete: p.Incomplete == "", Incomplete: p.Incomplete, Revision: p.revision,
		Sessions: p.sessions[offset:min(offset+count, all)],
	}
	if end := offset + count; p.Next && end < all {
		page.Next = p.came[p.sessions[end].ClientID]
	}
	return page
}

func (p *Plugin) listChanges(c Command) (any, string) {
	since := c.number("since", 0)
	if since < p.oldest || since > p.revision {
		return nil, "revision too old"
	}
	until := min(since+c.number("count", 100), p.revision)
	page := control.SessionChanges{Revision: until, TotalCount: len(p.sessions), More: until < p.revision}
	seen := map[string]bool{}
	for _, id := range p.changes[since-p.oldest : until-p.oldest] {
		if seen[id] {
			continue
		}
		seen[id] = true
		if i := p.find(id); i >= 0 {
			page.Sessions = append(page.Sessions, p.sessions[i])
		} else {
			page.Ended = append(page.Ended, id)
		}
	}
	return page, ""
}

func (p *Plugin) disconnect(c Command) (d control.Disconnected) {
	hit := func(s control.Session) bool {
		for member, is := range map[string]string{
			"clientid": s.ClientID, "username": s.Username, "provider": s.Token.Provider, "sub": s.Token.Subject, "jti": s.Token.JTI,
		} {
			if want, asked := c[member]; asked && want != is {
				return false
			}
		}
		return s.Connected
	}
	block := c.number("block", 0)
	for _, s := range p.sessions {
		if !hit(s) {
			continue
		}
		d.Disconnected++
		p.changed(s.ClientID)
		if block > 0 && s.Login == "token" {
			p.lastBlock++
			d.Blocked++
			d.BlockedUntil = control.Date(time.Now().Unix()) + control.Date(block)
			p.blocks = append(p.blocks, control.Block{ID: p.lastBlock, Provider: s.Token.Provider, Subject: s.Token.Subject, Until: d.BlockedUntil, By: "admin", Reason: c.text("reason")})
		}
	}
	p.sessions = slices.DeleteFunc(p.sessions, hit)
	return d
}
