package admin

// Status is how the broker, its plugin and their providers stand; docs/control.md says what the members mean.
type Status struct {
	Version    string     `json:"version"`
	StartedAt  int64      `json:"startedAt"`
	Broker     Broker     `json:"broker"`
	ConfigFile string     `json:"configFile"`
	Reloads    Reloads    `json:"reloads"`
	Sessions   Counts     `json:"sessions"`
	Pending    int        `json:"pending"`
	Queued     int        `json:"queued"`
	Refusals   uint64     `json:"refusals"`
	Logins     uint64     `json:"logins"`
	Blocks     int        `json:"blocks"`
	Providers  []Provider `json:"providers"`
}

// Broker is what the broker can tell.
type Broker struct {
	Ticks    bool `json:"ticks"`
	Complete bool `json:"complete"`
}

// Reloads are those since the start.
type Reloads struct {
	Count     int    `json:"count"`
	LastAt    int64  `json:"lastAt,omitempty"`
	LastError string `json:"lastError,omitempty"`
}

// Counts are clients.
type Counts struct {
	All       int `json:"all"`
	Connected int `json:"connected"`
	Token     int `json:"token"`
}

// Provider is one of them.
type Provider struct {
	Name       string      `json:"name,omitempty"`
	Issuers    []string    `json:"issuers"`
	Mode       string      `json:"mode"`
	Algorithm  string      `json:"algorithm,omitempty"`
	Instance   string      `json:"instance,omitempty"`
	Ready      bool        `json:"ready"`
	Sessions   int         `json:"sessions"`
	Keys       *Keys       `json:"keys,omitempty"`
	Revocation *Revocation `json:"revocation,omitempty"`
}

// Keys are a provider's.
type Keys struct {
	Count       int    `json:"count"`
	Endpoint    string `json:"endpoint,omitempty"`
	LastSuccess int64  `json:"lastSuccess,omitempty"`
	LastAttempt int64  `json:"lastAttempt,omitempty"`
	Stale       bool   `json:"stale,omitempty"`
	Error       string `json:"error,omitempty"`
}

// Revocation is the endpoint that says whether a token is active.
type Revocation struct {
	Endpoint    string   `json:"endpoint,omitempty"`
	Check       string   `json:"check"`
	Breaker     string   `json:"breaker"`
	InFlight    int      `json:"inFlight"`
	Queued      int      `json:"queued"`
	LastSuccess int64    `json:"lastSuccess,omitempty"`
	Error       string   `json:"error,omitempty"`
	LatencyMS   *Latency `json:"latencyMs,omitempty"`
}

// Latency is how long the last requests took, in ms.
type Latency struct {
	P50   float64 `json:"p50"`
	P99   float64 `json:"p99"`
	Count int     `json:"count"`
}
