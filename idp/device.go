package idp

import (
	"context"
	"html/template"
	"net/http"
	"sync"
	"time"

	"github.com/zitadel/oidc/v3/pkg/op"
)

// devicePath is where a person approves a device (RFC 8628 §3.3).
const devicePath = "/device"

// devices are the logins of the device authorization grant (RFC 8628).
type devices struct {
	mu     sync.Mutex // guards both
	byCode map[string]*op.DeviceAuthorizationState
	byUser map[string]string // user code → device code
}

var _ op.DeviceAuthorizationStorage = (*storage)(nil)

// StoreDeviceAuthorization implements op.DeviceAuthorizationStorage.
func (s *storage) StoreDeviceAuthorization(_ context.Context, clientID, deviceCode, userCode string, expires time.Time, scopes []string) error {
	c, ok := s.clients[clientID]
	if !ok {
		return errUnknownClient
	}
	s.devices.mu.Lock()
	defer s.devices.mu.Unlock()
	s.devices.byCode[deviceCode] = &op.DeviceAuthorizationState{ClientID: clientID, Audience: c.Audience, Scopes: scopes, Expires: expires}
	s.devices.byUser[userCode] = deviceCode
	return nil
}

// GetDeviceAuthorizatonState implements op.DeviceAuthorizationStorage.
func (s *storage) GetDeviceAuthorizatonState(_ context.Context, clientID, deviceCode string) (*op.DeviceAuthorizationState, error) {
	s.devices.mu.Lock()
	defer s.devices.mu.Unlock()
	state, ok := s.devices.byCode[deviceCode]
	if !ok || state.ClientID != clientID {
		return nil, errUnknownClient
	}
	copied := *state
	return &copied, nil
}

// decideDevice reports whether the user code exists and is still undecided.
func (s *storage) decideDevice(userCode string, approve bool) bool {
	s.devices.mu.Lock()
	defer s.devices.mu.Unlock()
	state, ok := s.devices.byCode[s.devices.byUser[userCode]]
	if !ok || state.Done || state.Denied || time.Now().After(state.Expires) {
		return false
	}
	state.Done, state.Denied = approve, !approve
	state.Subject, state.AuthTime = s.clients[state.ClientID].Subject, time.Now()
	return true
}

// ApproveDevice is what the person does at the page of a device's login; the token is then the client's own, as this
// provider has no users. It reports whether the user code exists and is still undecided.
func (p *Provider) ApproveDevice(userCode string) bool { return p.storage.decideDevice(userCode, true) }

// DenyDevice refuses the login of a device, as the other button of that page does.
func (p *Provider) DenyDevice(userCode string) bool { return p.storage.decideDevice(userCode, false) }

var devicePage = template.Must(template.New("").Parse(`<!doctype html>
<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Log a device in</title>
{{if .Said}}<p>{{.Said}}</p>{{else}}<form method="post">
<p>A device shows this code: <input name="user_code" value="{{.Code}}"></p>
<button name="do" value="approve">It is mine: let it in</button> <button name="do" value="deny">Refuse</button>
</form>{{end}}
`))

// serveDevicePage shows the page and applies the choice. There is no login: everybody who reaches this provider may do all that
// it offers.
func (p *Provider) serveDevicePage(w http.ResponseWriter, r *http.Request) {
	page := struct{ Code, Said string }{Code: r.FormValue("user_code")}
	if r.Method == http.MethodPost {
		approve := r.FormValue("do") == "approve"
		switch known := p.storage.decideDevice(page.Code, approve); {
		case !known:
			w.WriteHeader(http.StatusNotFound)
			page.Said = "No device waits with that code."
		case approve:
			page.Said = "The device is let in. You can close this page."
		default:
			page.Said = "The device is refused."
		}
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_ = devicePage.Execute(w, page)
}
