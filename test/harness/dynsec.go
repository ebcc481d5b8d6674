package harness

import (
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha512"
	"encoding/base64"
	"fmt"
	"slices"
)

// The login of the administrator in every Dynsec, for Broker.Ctrl.
const (
	AdminUser     = "admin"
	AdminPassword = "admin's password"
)

// Dynsec is what the dynamic-security plugin starts with, beside the
// administrator, who may do everything. By default a client may receive and
// unsubscribe, but neither publish nor subscribe.
type Dynsec struct {
	Roles   map[string][]ACL // by name
	Clients []DynsecClient
}

// ACL is one rule of a role. Mosquitto 2.0 knows no %u and %c in its topic.
type ACL struct {
	Type     string `json:"acltype"` // publishClientSend, subscribePattern …
	Topic    string `json:"topic"`
	Allow    bool   `json:"allow"`
	Priority int    `json:"priority"`
}

// DynsecClient is an account. Without a password nobody can log in to it by
// one, which is enough for an identity that a token brings.
type DynsecClient struct {
	Username string
	Password string
	ClientID string // the only one it may log in with, "" for any
	Roles    []string
	Disabled bool
}

// MayUse are the rules of a role that may publish, subscribe and receive on
// every one of the topic filters.
func MayUse(filters ...string) []ACL {
	var acls []ACL
	for _, filter := range filters {
		for _, kind := range []string{"publishClientSend", "publishClientReceive", "subscribePattern", "unsubscribePattern"} {
			acls = append(acls, ACL{Type: kind, Topic: filter, Allow: true})
		}
	}
	return acls
}

// hashIterations is the work factor of stored passwords: low, for speed.
const hashIterations = 101

// hashPassword hashes as password files and dynamic-security of Mosquitto 2.0
// do, and 2.1 still reads: PBKDF2 with SHA-512, 64 bytes, in base64.
func hashPassword(password string) (salt, hash string) {
	raw := make([]byte, 12)
	_, _ = rand.Read(raw) // never fails
	key, err := pbkdf2.Key(sha512.New, password, raw, hashIterations, 64)
	if err != nil { // only the parameters above could be wrong
		panic(fmt.Sprintf("harness: %v", err))
	}
	return base64.StdEncoding.EncodeToString(raw), base64.StdEncoding.EncodeToString(key)
}

type (
	dynsecFile struct {
		Default map[string]bool `json:"defaultACLAccess"`
		Clients []dynsecClient  `json:"clients"`
		Groups  []struct{}      `json:"groups"`
		Roles   []dynsecRole    `json:"roles"`
	}
	dynsecClient struct {
		Username   string          `json:"username"`
		ClientID   string          `json:"clientid,omitempty"`
		Password   string          `json:"password,omitempty"`
		Salt       string          `json:"salt,omitempty"`
		Iterations int             `json:"iterations,omitempty"`
		Disabled   bool            `json:"disabled,omitempty"`
		Roles      []dynsecRoleRef `json:"roles"`
	}
	dynsecRoleRef struct {
		Name string `json:"rolename"`
	}
	dynsecRole struct {
		Name string `json:"rolename"`
		ACLs []ACL  `json:"acls"`
	}
)

// Plugin is the broker's dynamic-security plugin with this configuration.
func (d Dynsec) Plugin() Plugin {
	file := dynsecFile{
		Default: map[string]bool{
			"publishClientSend": false, "publishClientReceive": true,
			"subscribe": false, "unsubscribe": true,
		},
		Groups: []struct{}{},
		Roles:  []dynsecRole{{"admin", MayUse("$CONTROL/dynamic-security/#", "$SYS/#", "#")}},
	}
	for name, acls := range d.Roles {
		file.Roles = append(file.Roles, dynsecRole{name, acls})
	}
	admin := DynsecClient{Username: AdminUser, Password: AdminPassword, Roles: []string{"admin"}}
	for _, c := range slices.Concat([]DynsecClient{admin}, d.Clients) {
		client := dynsecClient{Username: c.Username, ClientID: c.ClientID, Disabled: c.Disabled, Roles: []dynsecRoleRef{}}
		if c.Password != "" {
			client.Salt, client.Password = hashPassword(c.Password)
			client.Iterations = hashIterations
		}
		for _, name := range c.Roles {
			client.Roles = append(client.Roles, dynsecRoleRef{name})
		}
		file.Clients = append(file.Clients, client)
	}
	return Plugin{
		builtin: dynsec,
		Opts:    map[string]string{"config_file": "{dir}/dynamic-security.json"},
		Files:   map[string]string{"dynamic-security.json": text(file)},
	}
}
