"""One paho-mqtt client that is left to its own reconnect logic, for test/harness.

The only argument is a JSON object that says who connects where; each event is
one JSON object on a line of standard output. It runs until it is killed.
"""

import base64
import json
import sys
from urllib.parse import urlsplit

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, ConnackCode

request = json.loads(sys.argv[1])
login = request["login"]
url = urlsplit(request["url"])
v5 = request["protocol"] == 5

# The library shows the return codes of MQTT 3.1.1 as reason codes of MQTT 5.
RETURN_CODES = {mqtt.convert_connack_rc_to_reason_code(code).value: int(code) for code in ConnackCode}


def say(event, **more):
    print(json.dumps({"event": event, **more}), flush=True)


def on_connect(client, userdata, flags, reason, properties):
    say("connack", code=reason.value if v5 else RETURN_CODES[reason.value])
    if not reason.is_failure:
        client.subscribe(request["topic"], 1)


def on_message(client, userdata, message):
    say("message", payload=message.payload.decode())


client = mqtt.Client(
    CallbackAPIVersion.VERSION2,
    client_id=login["clientId"],
    protocol=mqtt.MQTTv5 if v5 else mqtt.MQTTv311,
    transport="websockets" if url.scheme == "ws" else "tcp",
)
client.username_pw_set(login.get("username"), base64.b64decode(login["password"]) if "password" in login else None)
client.on_pre_connect = lambda client, userdata: say("attempt")
client.on_connect = on_connect
client.on_message = on_message
client.connect(url.hostname, url.port, login["keepAlive"])
client.loop_forever()
