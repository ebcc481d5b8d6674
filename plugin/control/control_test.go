package control_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"go-jwt-auth/plugin/broker"
	"go-jwt-auth/plugin/control"
)

// desk is a Control with two commands: "echo" answers with its member "text", and "later" when it is told to.
type desk struct {
	control.Control
	sent      []string
	malformed int
	later     []func(control.Answer)
}

func newDesk() *desk {
	d := &desk{}
	d.Control = control.Control{
		Commands: map[string]control.Command{
			"echo": func(r control.Request, done func(control.Answer)) {
				text, err := r.Text("text")
				done(control.Answer{Data: map[string]string{"text": text}, Err: err})
			},
			"later": func(_ control.Request, done func(control.Answer)) { d.later = append(d.later, done) },
			"twice": func(_ control.Request, done func(control.Answer)) {
				done(control.Answer{Data: 1})
				done(control.Answer{Data: 2})
			},
		},
		Malformed: func(broker.Message) { d.malformed++ },
		Send: func(to broker.Message, payload []byte) {
			d.sent = append(d.sent, to.ClientID+" "+strings.TrimSuffix(strings.TrimPrefix(string(payload), `{"responses":[`), "]}"))
		},
	}
	return d
}

func (d *desk) handle(payload string) {
	d.Handle(broker.Message{Conn: 1, ClientID: "c", Topic: control.Topic, Payload: []byte(payload)})
}

func commands(each ...string) string { return `{"commands":[` + strings.Join(each, ",") + `]}` }

func TestMessages(t *testing.T) {
	const echo = `{"command":"echo","text":"a"}`
	for _, c := range []struct {
		rule, payload, want string
		malformed           bool
	}{
		{"a command", commands(echo), `{"command":"echo","data":{"text":"a"}}`, false},
		{"white space around it", " \n" + commands(echo) + "\n", `{"command":"echo","data":{"text":"a"}}`, false},
		{"correlation data", commands(`{"command":"echo","text":"<&>","correlationData":"<x>"}`), `{"command":"echo","correlationData":"<x>","data":{"text":"<&>"}}`, false},
		{"empty correlation data", commands(`{"command":"echo","text":"a","correlationData":""}`), `{"command":"echo","correlationData":"","data":{"text":"a"}}`, false},
		{"several, in order", commands(echo, `{"command":"none"}`, echo), `{"command":"echo","data":{"text":"a"}},{"command":"none","error":"unknown command: \"none\""},{"command":"echo","data":{"text":"a"}}`, false},
		{"sixteen", commands(strings.Split(strings.Repeat(echo+" ", 16), " ")[:16]...), strings.TrimSuffix(strings.Repeat(`{"command":"echo","data":{"text":"a"}},`, 16), ","), false},
		{"a command that answers twice", commands(`{"command":"twice"}`), `{"command":"twice","data":1}`, false},

		{"nothing", ``, `{"error":"malformed request: it is not JSON"}`, true},
		{"no JSON", `renewToken`, `{"error":"malformed request: it is not JSON"}`, true},
		{"an array", `[]`, `{"error":"malformed request: it is JSON, but not an object"}`, true},
		{"something behind it", commands(echo) + "x", `{"error":"malformed request: something follows the JSON object"}`, true},
		{"a byte order mark", "\uFEFF" + commands(echo), `{"error":"malformed request: it is not JSON"}`, true},
		{"invalid UTF-8", commands("{\"command\":\"echo\",\"text\":\"\xff\"}"), `{"error":"malformed request: it holds invalid UTF-8"}`, true},
		{"a name twice", `{"commands":[],"commands":[` + echo + `]}`, `{"error":"malformed request: it has a name twice in one object: \"commands\""}`, true},
		{"a name twice in a command", commands(`{"command":"echo","text":"a","text":"b"}`), `{"error":"malformed request: it has a name twice in one object: \"text\""}`, true},
		{"256 values", commands(`{"command":"echo","text":"[,{","x":[` + strings.Repeat("1,", 250) + `1]}`), `{"command":"echo","error":"malformed request: \"x\" is not known"}`, false},
		{"257", commands(`{"command":"echo","text":"[,{","x":[` + strings.Repeat("1,", 251) + `1]}`), `{"error":"malformed request: more than 256 values"}`, true},
		{"brackets in strings, behind escaped quotes and backslashes", commands(`{"command":"echo","text":"\"` + strings.Repeat(`[,{`, 300) + `\\"}`), `{"command":"echo","data":{"text":"\"` + strings.Repeat(`[,{`, 300) + `\\"}}`, false},
		{"a string without end", `{"commands":["` + strings.Repeat(`[`, 300), `{"error":"malformed request: it is not JSON"}`, true},
		{"no commands", `{}`, `{"error":"malformed request: it must have \"commands\", an array of at least one"}`, true},
		{"an empty list", commands(), `{"error":"malformed request: it must have \"commands\", an array of at least one"}`, true},
		{"commands that are an object", `{"commands":` + echo + `}`, `{"error":"malformed request: it must have \"commands\", an array of at least one"}`, true},
		{"another member", `{"commands":[` + echo + `],"x":1}`, `{"error":"malformed request: \"x\" is not known"}`, true},
		{"seventeen", commands(strings.Split(strings.Repeat(echo+" ", 17), " ")[:17]...), `{"error":"malformed request: 17 commands, the most is 16"}`, true},
		{"too many bytes", commands(echo) + strings.Repeat(" ", 64<<10), `{"error":"malformed request: 65580 bytes, the most is 65536"}`, true},

		{"a command that is none", commands(`"echo"`, echo), `{"error":"malformed request: a command must be an object"},{"command":"echo","data":{"text":"a"}}`, false},
		{"a command without name", commands(`{"text":"a"}`), `{"error":"malformed request: a command must have \"command\", a string of at most 256 bytes"}`, false},
		{"a command whose name is a number", commands(`{"command":1,"correlationData":"x"}`), `{"correlationData":"x","error":"malformed request: a command must have \"command\", a string of at most 256 bytes"}`, false},
		{"a command whose name is too long", commands(fmt.Sprintf(`{"command":%q}`, strings.Repeat("x", 257))), `{"error":"malformed request: a command must have \"command\", a string of at most 256 bytes"}`, false},
		{"a member that is not known", commands(`{"command":"echo","text":"a","topic":"b"}`), `{"command":"echo","error":"malformed request: \"topic\" is not known"}`, false},
		{"a member that is missing", commands(`{"command":"echo"}`), `{"command":"echo","error":"malformed request: \"text\" must be there, and a string"}`, false},
		{"a member that is null", commands(`{"command":"echo","text":null}`), `{"command":"echo","error":"malformed request: \"text\" must be there, and a string"}`, false},
		{"correlation data of 256 bytes", commands(fmt.Sprintf(`{"command":"echo","text":"","correlationData":%q}`, strings.Repeat("x", 256))), fmt.Sprintf(`{"command":"echo","correlationData":%q,"data":{"text":""}}`, strings.Repeat("x", 256)), false},
		{"correlation data that is too long", commands(fmt.Sprintf(`{"command":"echo","text":"","correlationData":%q}`, strings.Repeat("x", 257))), `{"error":"malformed request: \"correlationData\" must be a string of at most 256 bytes"}`, false},
		{"correlation data that is a number", commands(`{"command":"echo","text":"","correlationData":1}`), `{"error":"malformed request: \"correlationData\" must be a string of at most 256 bytes"}`, false},
	} {
		t.Run(c.rule, func(t *testing.T) {
			d := newDesk()
			d.handle(c.payload)
			if len(d.sent) != 1 || d.sent[0] != "c "+c.want || d.malformed == 1 != c.malformed {
				t.Errorf("malformed: %d, got\n%s\nwant\nc %s", d.malformed, strings.Join(d.sent, "\n"), c.want)
			}
		})
	}
}

// One message answers all commands of one, once the last of them has its answer.
func TestAnAnswerWaitsForAllCommands(t *testing.T) {
	d := newDesk()
	d.handle(commands(`{"command":"later","correlationData":"1"}`, `{"command":"echo","text":"a"}`, `{"command":"later","correlationData":"2"}`))
	d.later[1](control.Answer{Data: 2})
	if len(d.sent) != 0 {
		t.Fatalf("sent %q before all were done", d.sent)
	}
	d.later[0](control.Answer{Err: errors.New("no")})
	d.later[0](control.Answer{Data: 3})
	want := `c {"command":"later","correlationData":"1","error":"no"},{"command":"echo","data":{"text":"a"}},{"command":"later","correlationData":"2","data":2}`
	if len(d.sent) != 1 || d.sent[0] != want {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(d.sent, "\n"), want)
	}
}

// Nothing of a message is kept: its bytes are the broker's.
func TestNothingIsKeptOfTheBrokersMemory(t *testing.T) {
	var kept control.Request
	d := newDesk()
	d.Commands["keep"] = func(r control.Request, done func(control.Answer)) {
		kept = r
		done(control.Answer{})
	}
	payload := []byte(commands(`{"command":"keep","token":"secret"}`))
	d.Handle(broker.Message{ClientID: "c", Payload: payload})
	clear(payload)
	if kept.Members["token"] != "secret" || kept.From.Payload != nil {
		t.Errorf("%+v", kept)
	}
}

// FuzzHandle: every message gets one answer, which is JSON, whatever it is.
func FuzzHandle(f *testing.F) {
	f.Add(commands(`{"command":"echo","text":"a","correlationData":"x"}`))
	f.Add(`{"commands":[{"command":"echo"},1,{}]}`)
	f.Fuzz(func(t *testing.T, payload string) {
		d := newDesk()
		delete(d.Commands, "later")
		var answer []byte
		d.Send = func(_ broker.Message, payload []byte) {
			if answer != nil {
				t.Error("answered twice")
			}
			answer = payload
		}
		d.handle(payload)
		var message struct{ Responses []json.RawMessage }
		if err := json.Unmarshal(answer, &message); err != nil || len(message.Responses) == 0 {
			t.Errorf("%s: %v", answer, err)
		}
	})
}

func BenchmarkMessage(b *testing.B) {
	for name, payload := range map[string]string{
		"a token of 1 kB":  commands(fmt.Sprintf(`{"command":"echo","text":%q}`, strings.Repeat("x", 1000))),
		"64 KiB of arrays": `{"commands":[` + strings.Repeat(`[],`, 21800) + `[]]}`,
		"64 KiB of names": func() string {
			text := `{"commands":[{"command":"echo"`
			for i := 0; len(text) < 64<<10-20; i++ {
				text += fmt.Sprintf(`,"%x":1`, i)
			}
			return text + "}]}"
		}(),
		"64 KiB of one token": commands(fmt.Sprintf(`{"command":"echo","text":%q}`, strings.Repeat("x", 65000))),
	} {
		b.Run(name, func(b *testing.B) {
			d := newDesk()
			for b.Loop() {
				d.handle(payload)
				d.sent = d.sent[:0]
			}
		})
	}
}
