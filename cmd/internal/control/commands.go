package control

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"time"
)

// Date is a NumericDate (RFC 7519 §2): seconds since 1970. Zero: not known, or never.
type Date float64

// Time is the date in UTC.
func (d Date) Time() time.Time {
	whole, part := math.Modf(float64(d))
	return time.Unix(int64(whole), int64(part*1e9)).UTC()
}

// Session is a client of the broker. What the broker does not tell is empty.
type Session struct {
	ClientID string `json:"clientid"`
	Username string `json:"username,omitempty"`
	Address  string `json:"address,omitempty"`
	// Port is the listener's.
	Port int `json:"port,omitempty"`
	// Transport is mqtt or websockets, ProtocolVersion v3.1, v3.1.1 or v5.
	Transport       string `json:"transport,omitempty"`
	ProtocolVersion string `json:"protocolVersion,omitempty"`
	// Connected: false is a client that is away, and whose session the broker keeps.
	Connected      bool `json:"connected"`
	ConnectedAt    Date `json:"connectedAt,omitempty"`
	DisconnectedAt Date `json:"disconnectedAt,omitempty"`
	// Login is token, password, certificate, anonymous or unknown.
	Login        string `json:"login"`
	EnhancedAuth bool   `json:"enhancedAuth,omitempty"`
	Admin        bool   `json:"admin,omitempty"`
	// Token is zero unless Login is token.
	Token Token `json:"token,omitzero"`
}

// Whose is what tells who is behind a client id, which anybody may take over.
func (s Session) Whose() [4]string {
	return [...]string{s.Login, s.Username, s.Token.Provider, s.Token.Subject}
}

// Token is what is known of the token that a client has shown last.
type Token struct {
	// Provider is empty if the broker's jwt.json has but one.
	Provider string `json:"provider,omitempty"`
	Subject  string `json:"sub,omitempty"`
	// JTI or, without one, Hash names the token.
	JTI  string `json:"jti,omitempty"`
	Hash string `json:"hash,omitempty"`
	// Expires is exp. LeavesAt is when the client must leave, RecheckAt when the provider is asked about the token again.
	Expires   Date `json:"expires,omitempty"`
	LeavesAt  Date `json:"leavesAt,omitempty"`
	RecheckAt Date `json:"recheckAt,omitempty"`
	Renewals  int  `json:"renewals,omitempty"`
}

// SessionDetail is a session with what only getSession tells.
type SessionDetail struct {
	Session
	// KeepAlive is in seconds.
	KeepAlive     *int  `json:"keepAlive,omitempty"`
	CleanStart    *bool `json:"cleanStart,omitempty"`
	Subscriptions *int  `json:"subscriptions,omitempty"`
	// Rights are those from the token; nil: they are for others to say.
	Rights *Rights `json:"rights,omitempty"`
}

// Rights are what a token gives.
type Rights struct {
	// OnNoMatch is deny or defer.
	OnNoMatch string   `json:"onNoMatch"`
	Rules     []string `json:"rules"`
}

// SessionPage is an answer to listSessions.
type SessionPage struct {
	TotalCount int `json:"totalCount"`
	// Complete: all clients of the broker are known. If not, Incomplete says in a sentence which are not.
	Complete   bool   `json:"complete"`
	Incomplete string `json:"incomplete,omitempty"`
	// Revision is the state that the page shows, for Changes.
	Revision uint64 `json:"revision"`
	// Next is where the next page begins (ListSessionsFrom); 0: there is none, or the plugin does not say.
	Next     uint64    `json:"next,omitempty"`
	Sessions []Session `json:"sessions"`
}

// SessionChanges is an answer to listSessionChanges.
type SessionChanges struct {
	Revision   uint64 `json:"revision"`
	TotalCount int    `json:"totalCount"`
	// Sessions are as they are now; Ended are client ids.
	Sessions []Session `json:"sessions"`
	Ended    []string  `json:"ended"`
	More     bool      `json:"more"`
}

// Target is what Disconnect goes by: one of ClientID, Username, Subject and JTI, the last three with or without Provider, or
// Provider alone.
type Target struct {
	ClientID string `json:"clientid,omitempty"`
	Username string `json:"username,omitempty"`
	Provider string `json:"provider,omitempty"`
	Subject  string `json:"sub,omitempty"`
	JTI      string `json:"jti,omitempty"`
}

// Disconnected is what Disconnect has come to.
type Disconnected struct {
	Disconnected int `json:"disconnected"`
	// Blocked are those of them that may not come in again until BlockedUntil.
	Blocked      int  `json:"blocked"`
	BlockedUntil Date `json:"blockedUntil,omitempty"`
}

// Refusal is a login or a renewal that was refused.
type Refusal struct {
	ID   uint64 `json:"id"`
	Time Date   `json:"time"`
	// About is login or renewal.
	About    string `json:"about"`
	ClientID string `json:"clientid"`
	Address  string `json:"address,omitempty"`
	Username string `json:"username,omitempty"`
	Provider string `json:"provider,omitempty"`
	Subject  string `json:"sub,omitempty"`
	JTI      string `json:"jti,omitempty"`
	Hash     string `json:"hash,omitempty"`
	// Reason is one of a closed list, Detail says more.
	Reason string `json:"reason"`
	Detail string `json:"detail,omitempty"`
}

// RefusalPage is an answer to listRefusals, the oldest first.
type RefusalPage struct {
	// TotalCount are those that are kept, LastID is the last one's.
	TotalCount int       `json:"totalCount"`
	LastID     uint64    `json:"lastId"`
	Refusals   []Refusal `json:"refusals"`
}

// Block keeps somebody out.
type Block struct {
	ID       uint64 `json:"id"`
	Provider string `json:"provider,omitempty"`
	Subject  string `json:"sub,omitempty"`
	JTI      string `json:"jti,omitempty"`
	Hash     string `json:"hash,omitempty"`
	Until    Date   `json:"until"`
	// By is the admin's username or client id.
	By     string `json:"by"`
	Reason string `json:"reason,omitempty"`
}

// Status is an answer to getStatus.
type Status struct {
	Version   string `json:"version"`
	StartedAt Date   `json:"startedAt"`
	Broker    struct {
		Version string `json:"version,omitempty"`
		// Ticks: it calls the plugin regularly. Complete: it tells of all its clients.
		Ticks    bool `json:"ticks"`
		Complete bool `json:"complete"`
	} `json:"broker"`
	ConfigFile string `json:"configFile"`
	Reloads    struct {
		Count     int    `json:"count"`
		LastAt    Date   `json:"lastAt,omitempty"`
		LastError string `json:"lastError,omitempty"`
	} `json:"reloads"`
	Sessions struct {
		All       int `json:"all"`
		Connected int `json:"connected"`
		Token     int `json:"token"`
	} `json:"sessions"`
	Pending int `json:"pending"`
	Queued  int `json:"queued"`
	// Refusals and Logins are counted from the start on.
	Refusals  int              `json:"refusals"`
	Logins    int              `json:"logins"`
	Blocks    int              `json:"blocks"`
	Providers []ProviderStatus `json:"providers"`
}

// ProviderStatus is how a provider is.
type ProviderStatus struct {
	Name      string   `json:"name,omitempty"`
	Issuers   []string `json:"issuers,omitempty"`
	Mode      string   `json:"mode"`
	Algorithm Words    `json:"algorithm,omitempty"`
	// Instance is the jwt.json, where several are loaded.
	Instance string `json:"instance,omitempty"`
	Listener string `json:"listener,omitempty"`
	// Ready: it can judge a login.
	Ready      bool              `json:"ready"`
	Sessions   int               `json:"sessions"`
	Keys       KeyStatus         `json:"keys,omitzero"`
	Revocation *RevocationStatus `json:"revocation,omitempty"`
}

// KeyStatus is how the keys of a provider are.
type KeyStatus struct {
	Count       int    `json:"count"`
	Endpoint    string `json:"endpoint,omitempty"`
	LastSuccess Date   `json:"lastSuccess,omitempty"`
	LastAttempt Date   `json:"lastAttempt,omitempty"`
	Stale       bool   `json:"stale,omitempty"`
	Error       string `json:"error,omitempty"`
}

// RevocationStatus is how the endpoint is that says whether a token has been revoked.
type RevocationStatus struct {
	Endpoint string `json:"endpoint"`
	Check    string `json:"check"`
	// Breaker is closed, open (the endpoint is being left alone) or half-open.
	Breaker     string   `json:"breaker"`
	InFlight    int      `json:"inFlight"`
	Queued      int      `json:"queued"`
	LastSuccess Date     `json:"lastSuccess,omitempty"`
	Error       string   `json:"error,omitempty"`
	Latency     *Latency `json:"latencyMs,omitempty"`
}

// Latency is in ms, of the last Count requests.
type Latency struct {
	P50   float64 `json:"p50"`
	P99   float64 `json:"p99"`
	Count int     `json:"count"`
}

// Words is a string, or an array of strings.
type Words []string

// UnmarshalJSON implements json.Unmarshaler.
func (w *Words) UnmarshalJSON(text []byte) error {
	if len(text) > 0 && text[0] == '"' {
		*w = Words{""}
		return json.Unmarshal(text, &(*w)[0])
	}
	return json.Unmarshal(text, (*[]string)(w))
}

// get does a command and reads its answer.
func get[T any](ctx context.Context, c *Client, command string, args any) (data T, err error) {
	text, err := c.Do(ctx, command, args)
	if err != nil {
		return data, err
	}
	if err := json.Unmarshal(text, &data); err != nil {
		return data, fmt.Errorf("the plugin's answer to %s is not of the expected form: %w", command, err)
	}
	return data, nil
}

// args are a command's members.
type args = map[string]any

// Most is how many sessions, changes or refusals can be asked for at once.
const (
	MostSessions = 1000
	MostRefusals = 256
)

// ListSessions returns a page of the clients, in the order in which they came. It may be shorter than count: the next one begins
// at offset plus its length.
func (c *Client) ListSessions(ctx context.Context, offset, count int) (SessionPage, error) {
	return get[SessionPage](ctx, c, "listSessions", args{"offset": offset, "count": count})
}

// ListSessionsFrom returns the page that begins where another has ended.
func (c *Client) ListSessionsFrom(ctx context.Context, next uint64, count int) (SessionPage, error) {
	return get[SessionPage](ctx, c, "listSessions", args{"from": next, "count": count})
}

// ListChanges returns what has changed since a revision.
func (c *Client) ListChanges(ctx context.Context, since uint64, count int) (SessionChanges, error) {
	return get[SessionChanges](ctx, c, "listSessionChanges", args{"since": since, "count": count})
}

// GetSession returns all about a client.
func (c *Client) GetSession(ctx context.Context, clientID string) (SessionDetail, error) {
	answer, err := get[struct {
		Session SessionDetail `json:"session"`
	}](ctx, c, "getSession", args{"clientid": clientID})
	return answer.Session, err
}

// Disconnect disconnects the clients that the target is about. With a block of whole seconds, who came by a token may not come in
// again for that long; 0: none. The reason is for log and audit trail.
func (c *Client) Disconnect(ctx context.Context, target Target, block time.Duration, reason string) (Disconnected, error) {
	return get[Disconnected](ctx, c, "disconnectSession", struct {
		Target
		Block  int64  `json:"block,omitempty"`
		Reason string `json:"reason,omitempty"`
	}{target, int64(block / time.Second), reason})
}

// ListRefusals returns refusals with a greater id than since; 0: all that are kept.
func (c *Client) ListRefusals(ctx context.Context, since uint64) (RefusalPage, error) {
	var all RefusalPage
	for {
		asked := args{"count": MostRefusals}
		if since > 0 {
			asked["since"] = since
		}
		page, err := get[RefusalPage](ctx, c, "listRefusals", asked)
		if err != nil {
			return all, err
		}
		all.TotalCount, all.LastID = page.TotalCount, page.LastID
		all.Refusals = append(all.Refusals, page.Refusals...)
		// A page is shorter where texts are long.
		n := len(page.Refusals)
		if n == 0 || page.Refusals[n-1].ID <= since || page.Refusals[n-1].ID >= page.LastID {
			return all, nil
		}
		since = page.Refusals[n-1].ID
	}
}

// GetStatus returns how plugin and providers are.
func (c *Client) GetStatus(ctx context.Context) (Status, error) {
	return get[Status](ctx, c, "getStatus", nil)
}

// ListBlocks returns who is kept out.
func (c *Client) ListBlocks(ctx context.Context) ([]Block, error) {
	answer, err := get[struct {
		Blocks []Block `json:"blocks"`
	}](ctx, c, "listBlocks", nil)
	return answer.Blocks, err
}

// RemoveBlock ends a block.
func (c *Client) RemoveBlock(ctx context.Context, id uint64) error {
	_, err := c.Do(ctx, "removeBlock", args{"id": id})
	return err
}
