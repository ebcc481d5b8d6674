package plugin

import (
	"slices"
	"strings"
	"testing"
	"time"

	"go-jwt-auth/plugin/broker"
	"go-jwt-auth/plugin/cedalo"
	"go-jwt-auth/plugin/control"
)

// asksAsPanel sends a command to a topic of the Management Center, and returns the answers after a few Ticks.
func (h *env) asksAsPanel(c broker.Conn, id, topic, command string) []string {
	before := len(h.broker.published)
	name := h.broker.names[c]
	h.Control(broker.Message{Conn: c, ClientID: id, Username: &name, Topic: topic, Payload: []byte(`{"commands":[` + command + `]}`)})
	for range 10 {
		h.Tick()
	}
	return h.broker.published[before:]
}

// The topics of the Management Center are registered while there are admins, for whom they answer, by their own topics.
func TestTheManagementCenterIsAnsweredForAdmins(t *testing.T) {
	onBoth(t, func(t *testing.T, adjust func(*fakeBroker)) {
		h := open(t, local(mapsUsername), adjust)
		if h.broker.controls[cedalo.InspectTopic] || h.broker.controls[cedalo.ClientControlTopic] {
			t.Error("without admins there are topics for them")
		}
		h.write(t, withAdmins(`["ops"]`, mapsUsername))
		h.reloads(t)
		h.Tick() // the round is over
		if !h.broker.controls[cedalo.InspectTopic] || !h.broker.controls[cedalo.ClientControlTopic] {
			t.Errorf("registered: %v", h.broker.controls)
		}
		h.comesByPassword(t, 1, "o", "ops")
		h.login(2, "c", nil, h.token("alice", time.Hour))
		got := h.asksAsPanel(1, "o", cedalo.InspectTopic, `{"command":"listClients","verbose":true,"count":-1,"offset":0,"correlationData":"7"}`)
		if len(got) != 1 || !strings.HasPrefix(got[0], `o $CONTROL/cedalo/inspect/v1/response {"responses":[{"command":"listClients","correlationData":"7","data":{"clients":[{`) ||
			!strings.HasSuffix(got[0], `],"totalCount":2}}]}`) || !strings.Contains(got[0], `{"clientid":"c","username":"alice",`) {
			t.Errorf("got %q", got)
		}
		if !h.logged(`commanded listClients 2 of 2 clients`) {
			t.Errorf("%q", h.broker.log)
		}
		for topic, command := range map[string]string{cedalo.InspectTopic: "getClient", cedalo.ClientControlTopic: "disconnectClient"} {
			want := `c ` + topic + `/response {"responses":[{"command":"` + command + `","error":"unknown command: \"` + command + `\""}]}`
			if got := h.asksAsPanel(2, "c", topic, `{"command":"`+command+`","clientid":"o"}`); !slices.Equal(got, []string{want}) {
				t.Errorf("who is no admin got %q", got)
			}
		}
		want := []string{`o $CONTROL/cedalo/client-control/v1/response {"responses":[{"command":"disconnectClient","data":{}}]}`}
		if got := h.asksAsPanel(1, "o", cedalo.ClientControlTopic, `{"command":"disconnectClient","clientid":"c"}`); !slices.Equal(got, want) {
			t.Errorf("got %q", got)
		}
		if !slices.Equal(h.broker.kicked, []string{"c will=true"}) || !h.logged(`disconnected: by an admin: "ops"`) {
			t.Errorf("disconnected %q", h.broker.kicked)
		}
		h.write(t, local(mapsUsername))
		h.reloads(t)
		h.Tick()
		if h.broker.controls[cedalo.InspectTopic] || h.broker.controls[cedalo.ClientControlTopic] {
			t.Error("without admins there are still topics for them")
		}
	})
}

// Where another plugin has one of the topics, as the commercial broker's own does, that is said once, and the others work.
func TestATopicOfTheManagementCenterIsTaken(t *testing.T) {
	h := open(t, withAdmins(`["panel"]`, mapsUsername), func(b *fakeBroker) { b.taken = map[string]bool{cedalo.InspectTopic: true} })
	said := 0
	for _, line := range h.broker.log {
		if strings.Contains(line, "another plugin or plugin line has it") {
			said++
		}
	}
	if said != 1 || !h.logged("warning go_jwt_auth: the Management Center can't see who is connected by a message to $CONTROL/cedalo/inspect/v1: another plugin or plugin line has it") {
		t.Errorf("%q", h.broker.log)
	}
	if !h.broker.controls[control.Topic] || !h.broker.controls[cedalo.ClientControlTopic] {
		t.Errorf("registered: %v", h.broker.controls)
	}
}
