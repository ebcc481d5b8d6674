"""An MQTT client that logs in with a token and comes back with a fresh one in time.

It publishes a number every INTERVAL seconds and prints what arrives on the
same topic. The settings are environment variables: see ../README.md.
"""

import collections
import os
import queue
import random
import signal
import sys
import time
from pathlib import Path
from urllib.parse import quote_plus, urlsplit

import paho.mqtt.client as mqtt
import urllib3
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

NOT_AUTHORIZED = 0x87  # the broker does not take the token; anything else may pass by itself
SESSION_EXPIRY = 3600  # seconds for which the broker keeps what we miss
MAX_QUEUED = 1000  # messages that wait for a connection
TIMEOUT = 10  # seconds for any one request


def setting(name, default=None):
    value = os.environ.get(name) or default
    if value is None:
        sys.exit(f"{name} is not set")
    return value


class Provider:
    """Gets access tokens by the client credentials grant (RFC 6749 section 4.4)."""

    def __init__(self):
        self.issuer = setting("ISSUER")
        parts = urlsplit(self.issuer)
        if parts.scheme != "https" and parts.hostname not in ("localhost", "127.0.0.1", "::1"):
            sys.exit("ISSUER must begin with https://, or the secret could be read on its way")
        file = os.environ.get("CLIENT_SECRET_FILE")
        secret = Path(file).read_text().strip() if file else setting("CLIENT_SECRET")
        # RFC 6749 section 2.3.1 wants both form-encoded first.
        pair = f"{quote_plus(setting('CLIENT_ID'))}:{quote_plus(secret)}"
        self.login = urllib3.make_headers(basic_auth=pair)
        self.form = {"grant_type": "client_credentials"}
        for name in ("SCOPE", "AUDIENCE"):
            if os.environ.get(name):
                self.form[name.lower()] = os.environ[name]
        self.http = urllib3.PoolManager(ca_certs=os.environ.get("CA_FILE") or None, timeout=TIMEOUT, retries=False)
        self.endpoint = None

    def token(self):
        """Return a token and its lifetime in seconds. OSError, HTTPError or ValueError: try again later."""
        if not self.endpoint:
            answer = self.http.request("GET", self.issuer.rstrip("/") + "/.well-known/openid-configuration")
            if answer.status != 200:
                raise ValueError(f"discovery: HTTP {answer.status}")
            found = answer.json()
            if found.get("issuer") != self.issuer:
                sys.exit(f"ISSUER is {self.issuer}, but the provider calls itself {found.get('issuer')}")
            self.endpoint = found["token_endpoint"]
        answer = self.http.request("POST", self.endpoint, fields=self.form, headers=self.login, encode_multipart=False)
        if answer.status in (400, 401):  # RFC 6749 section 5.2: asking again won't help
            error = answer.json()
            sys.exit(f"the provider gives no token: {error.get('error')} {error.get('error_description', '')}".strip())
        if answer.status != 200:
            raise ValueError(f"HTTP {answer.status}")
        found = answer.json()
        return found["access_token"], float(found.get("expires_in", 300))


class Connection:
    """One MQTT client; what happens to it comes out of its queue of events."""

    def __init__(self, topic):
        url = urlsplit(setting("MQTT_URL"))
        self.host = url.hostname
        self.port = url.port or {"mqtt": 1883, "mqtts": 8883, "ws": 80, "wss": 443}[url.scheme]
        self.events = queue.Queue()
        self.topic = topic
        self.waiting = collections.deque()  # what has not been sent yet
        self.open = False  # there is a connection, or one is being made
        self.ready = False  # there is one, and the broker has let us in
        self.client = mqtt.Client(
            mqtt.CallbackAPIVersion.VERSION2,
            client_id=setting("MQTT_CLIENT_ID", setting("CLIENT_ID")),
            protocol=mqtt.MQTTv5,
            transport="websockets" if url.scheme.startswith("ws") else "tcp",
            reconnect_on_failure=False,  # main decides when, and with which token
        )
        if url.scheme.startswith("ws"):
            self.client.ws_set_options(path=url.path or "/mqtt")
        if url.scheme in ("mqtts", "wss"):
            self.client.tls_set(os.environ.get("CA_FILE") or None)
        self.client.on_connect = self.connected
        self.client.on_disconnect = lambda client, userdata, flags, reason, properties: self.events.put(("gone", reason))
        self.client.on_message = lambda client, userdata, message: print("received", message.payload.decode(), flush=True)

    def connected(self, client, userdata, flags, reason, properties):
        if reason.is_failure:
            self.events.put(("gone", reason))
            return
        print("connected", flush=True)
        if not flags.session_present:  # otherwise the broker still knows
            client.subscribe(self.topic, 1)
        self.events.put(("connected", reason))

    def connect(self, token):
        """Open a connection. The session goes on where the broker has kept it."""
        kept = Properties(PacketTypes.CONNECT)
        kept.SessionExpiryInterval = SESSION_EXPIRY
        self.client.username_pw_set(setting("CLIENT_ID"), token)
        self.open = True
        try:
            self.client.connect(self.host, self.port, 30, clean_start=False, properties=kept)
        except OSError as err:
            self.events.put(("gone", err))
        else:
            self.client.loop_start()

    def publish(self, payload):
        """Send now, or when the broker has let us in. False: too much waits already."""
        if len(self.waiting) >= MAX_QUEUED:
            return False
        self.waiting.append(payload)
        self.send()
        return True

    def send(self):
        # Earlier than CONNACK, a broker that still thinks about the token would hang up.
        while self.ready and self.waiting:
            self.client.publish(self.topic, self.waiting.popleft(), qos=1)

    def leave(self):
        """Say DISCONNECT where there is a connection, and wait until it is closed."""
        self.client.disconnect()
        self.client.loop_stop()
        self.events = queue.Queue()  # what it said at its end is no news
        self.open = self.ready = False


def pause(failures):
    """Seconds to wait: up to a minute, and at random, lest a fleet come back all at once."""
    return random.uniform(0.5, 1) * min(60, 2 ** min(failures, 6))


def run(provider, connection, interval):
    """Publish for ever. Three things fall due: a new token, a new connection, a message."""
    token, expires, number, failures = None, 0, 1, 0
    fetch_at = connect_at = publish_at = time.monotonic()
    while True:
        now = time.monotonic()
        if now >= fetch_at:
            try:
                token, lifetime = provider.token()
            except (OSError, ValueError, KeyError, urllib3.exceptions.HTTPError) as err:
                failures += 1
                fetch_at = now + pause(failures)  # the old token may be good for a while yet
                print("no token:", err, file=sys.stderr, flush=True)
            else:
                expires = now + lifetime
                fetch_at = now + lifetime * random.uniform(0.6, 0.8)
                connection.leave()
                connect_at = now
        if not connection.open and connect_at <= now < expires:
            connection.connect(token)
        if now >= publish_at:
            publish_at = now + interval
            if connection.publish(str(number)):
                number += 1
        soon = min(fetch_at, publish_at)
        if not connection.open and now < expires:
            soon = min(soon, connect_at)
        try:
            event, reason = connection.events.get(timeout=max(0, soon - time.monotonic()))
        except queue.Empty:
            continue
        if event == "connected":
            failures = 0
            connection.ready = True
            connection.send()
            continue
        print("disconnected:", reason, file=sys.stderr, flush=True)
        connection.leave()
        failures += 1
        connect_at = time.monotonic() + pause(failures)
        if getattr(reason, "value", None) == NOT_AUTHORIZED:
            expires, fetch_at = 0, connect_at


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    provider, connection = Provider(), Connection(setting("TOPIC", "examples/python"))
    try:
        run(provider, connection, float(setting("INTERVAL", "1")))
    except KeyboardInterrupt:
        pass
    finally:
        connection.leave()


if __name__ == "__main__":
    main()
