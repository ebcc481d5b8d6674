package docs

import (
	"bytes"
	"strings"
	"testing"

	"github.com/eclipse/paho.mqtt.golang/packets"
)

// docs/clients.md says which buffer a CONNECT packet needs in libraries that leave five bytes for the fixed header: as much
// as its texts, and 25 bytes. The last byte of that is needed where there is a will.
func TestConnectFitsInto(t *testing.T) {
	if !strings.Contains(string(read(t, "docs/clients.md")), "and 25 more") {
		t.Fatal("the document names another number")
	}
	connect, ok := packets.NewControlPacket(packets.Connect).(*packets.ConnectPacket)
	if !ok {
		t.Fatal("no CONNECT")
	}
	connect.ProtocolName, connect.ProtocolVersion = "MQTT", 4
	connect.ClientIdentifier, connect.Username, connect.Password = "sensor-1", "any", bytes.Repeat([]byte("t"), 1263)
	connect.UsernameFlag, connect.PasswordFlag, connect.WillFlag = true, true, true
	connect.WillTopic, connect.WillMessage = "sensors/1/state", []byte("offline")
	var out bytes.Buffer
	if err := connect.Write(&out); err != nil {
		t.Fatal(err)
	}
	const fixedHeader, lengthBytes, reserved = 1, 2, 5
	needed := out.Len() - fixedHeader - lengthBytes + reserved
	texts := len(connect.ClientIdentifier) + len(connect.Username) + len(connect.Password) + len(connect.WillTopic) + len(connect.WillMessage)
	if needed != texts+25 {
		t.Errorf("it needs %d bytes more than its texts", needed-texts)
	}
}
