"""An MQTT client that logs in with a token and hands the broker a fresh one in time.

It publishes a number every INTERVAL seconds and prints what arrives on the
same topic. The settings are environment variables: see ../README.md.
"""

import collections
import json
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

NOT_AUTHORIZED = 0x87  # in CONNACK: the broker does not take the token; anything else may pass by itself
SAME_TOKEN = (0x8B, 0x8D, 0x8E)  # in DISCONNECT: it shuts down, keep-alive, taken over; others may be about the token
RENEWALS = "$CONTROL/jwt-auth/v1"  # where the broker takes a fresh token for a connection
SESSION_EXPIRY = 3600  # seconds for which the broker keeps what we miss
MAX_QUEUED = 1000  # messages that wait for a connection
TIMEOUT = 10  # seconds for any one request
STEADY = 60  # seconds after which a connection was a good one, and not one more failure
ASSUMED = 300  # seconds that a token is taken to live if the provider does not say
SHORTEST = 5  # a token is renewed no sooner than one that lives for so many seconds
LONGEST = 86400  # and no later than one that lives for so many


def handle(topic, payload):
    """Do what is to be done with a message. Your code goes here; it may raise what it likes, see Connection."""
    say("received", payload.decode(errors="backslashreplace"))


def shown(text):
    """Escape what could steer a terminal: what comes from outside is printed by this only."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(text))


def say(*words, file=sys.stdout):
    """Print a line, whole, from whichever thread."""
    file.write(shown(" ".join(map(str, words))) + "\n")
    file.flush()


def warn(*words):
    say(*words, file=sys.stderr)


def setting(name, default=None):
    value = os.environ.get(name) or default
    if value is None:
        sys.exit(f"{name} is not set")
    return value


class Provider:
    """Gets access tokens by the client credentials grant (RFC 6749 section 4.4)."""

    def __init__(self):
        self.issuer = setting("ISSUER")
        self.want_private("ISSUER", self.issuer)
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

    @staticmethod
    def want_private(name, url):
        parts = urlsplit(url)
        if parts.scheme != "https" and parts.hostname not in ("localhost", "127.0.0.1", "::1"):
            sys.exit(f"{name} must begin with https://, or the secret could be read on its way")

    def token(self):
        """Return a token and its lifetime in seconds. Any exception but SystemExit: try again later."""
        if not self.endpoint:
            answer = self.http.request("GET", self.issuer.rstrip("/") + "/.well-known/openid-configuration")
            if answer.status != 200:
                raise ValueError(f"discovery: HTTP {answer.status}")
            found = answer.json()
            if found.get("issuer") != self.issuer:
                sys.exit(f"ISSUER is {self.issuer}, but the provider calls itself {shown(found.get('issuer'))}")
            self.want_private("token_endpoint", found["token_endpoint"])
            self.endpoint = found["token_endpoint"]
        answer = self.http.request("POST", self.endpoint, fields=self.form, headers=self.login, encode_multipart=False)
        if answer.status in (400, 401):  # RFC 6749 section 5.2: asking again won't help
            error = answer.json()
            told = f"{error.get('error')} {error.get('error_description', '')}".strip()
            sys.exit(f"the provider gives no token: {shown(told)}")
        if answer.status != 200:
            raise ValueError(f"HTTP {answer.status}")
        found = answer.json()
        return found["access_token"], lifetime(found.get("expires_in"))


def lifetime(expires_in):
    """Return the seconds for which a token is taken to live. Some providers say 0, or nothing, of one that is good."""
    try:
        seconds = float(expires_in)
    except (TypeError, ValueError):
        return ASSUMED
    return min(seconds, LONGEST) if seconds > 0 else ASSUMED


class Connection:
    """One MQTT client; what happens to it comes out of its queue of events.

    paho calls from a thread of its own, which an exception in a callback would end before the message is acknowledged:
    the broker sends it again, and it ends again. So paho is told to catch them all, and says them by on_log.
    """

    def __init__(self, topic):
        url = urlsplit(setting("MQTT_URL"))
        self.host = url.hostname
        self.port = url.port or {"mqtt": 1883, "mqtts": 8883, "ws": 80, "wss": 443}[url.scheme]
        self.events = queue.Queue()
        self.topic = topic
        self.waiting = collections.deque()  # what has not been sent yet
        self.open = False  # there is a connection, or one is being made
        self.ready = False  # there is one, and the broker has let us in
        self.since = 0  # when it did: time.monotonic()
        self.subscribed = False  # the broker has said so
        self.renewals = 0  # so many were asked for; the number is what an answer is known by
        self.renewing = None  # the last of them, if it has no answer yet: its packet identifier
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
        self.client.suppress_exceptions = True
        self.client.on_log = self.on_log
        self.client.on_connect = self.on_connect
        self.client.on_disconnect = self.on_disconnect
        self.client.on_subscribe = self.on_subscribe
        self.client.on_publish = self.on_publish
        self.client.on_message = lambda client, userdata, message: handle(message.topic, message.payload)
        self.client.message_callback_add(RENEWALS + "/response", self.on_answer)

    def on_log(self, client, userdata, level, text):
        if level == mqtt.MQTT_LOG_ERR:
            warn(text)

    def on_connect(self, client, userdata, flags, reason, properties):
        if reason.is_failure:
            self.events.put(("gone", reason, reason.value == NOT_AUTHORIZED))
            return
        self.events.put(("connected", reason, False))
        if not (flags.session_present and self.subscribed):  # otherwise the broker still knows
            client.subscribe(self.topic, 1)

    def on_disconnect(self, client, userdata, flags, reason, properties):
        # paho 2.1 does not show the reason of a DISCONNECT without properties, and so takes any for one about the token.
        self.events.put(("gone", reason, flags.is_disconnect_packet_from_server and reason.value not in SAME_TOKEN))

    def on_subscribe(self, client, userdata, mid, reasons, properties):
        self.subscribed = not reasons[0].is_failure
        if not self.subscribed:
            warn("not subscribed:", reasons[0])

    def on_publish(self, client, userdata, mid, reason, properties):
        if reason.is_failure:
            self.events.put(("denied", reason, mid))

    def on_answer(self, client, userdata, message):
        self.events.put(("answer", message.payload, None))

    def connect(self, token):
        """Open a connection. The session goes on where the broker has kept it."""
        kept = Properties(PacketTypes.CONNECT)
        kept.SessionExpiryInterval = SESSION_EXPIRY
        self.client.username_pw_set(setting("CLIENT_ID"), token)
        self.open = True
        try:
            self.client.connect(self.host, self.port, 30, clean_start=False, properties=kept)
        except OSError as err:
            self.events.put(("gone", err, False))
        else:
            self.client.loop_start()

    def renew(self, token):
        """Hand the broker a fresh token for this connection. What comes of it is an event, or nothing."""
        self.renewals += 1
        command = {"command": "renewToken", "token": token, "correlationData": str(self.renewals)}
        self.renewing = self.client.publish(RENEWALS, json.dumps({"commands": [command]}), qos=1).mid

    def error_in(self, answer):
        """Return why the broker has not renewed: "" if it has, None if that is the answer to another request."""
        found = json.loads(answer)
        for response in found.get("responses", []):
            if response.get("correlationData") == str(self.renewals):
                return response.get("error", "")
        return found.get("error")  # Mosquitto 2.1 without the plugin

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

    def steady(self):
        return self.ready and time.monotonic() - self.since >= STEADY

    def leave(self):
        """Say DISCONNECT where there is a connection, and wait until it is closed."""
        self.client.disconnect()
        self.client.loop_stop()
        self.events = queue.Queue()  # what it said at its end is no news
        self.open = self.ready = False
        self.renewing = None


class Backoff:
    """How long to wait after a failure to get a token or to stay connected.

    The broker may let us in and then disconnect us for a revoked token: only what lasts ends a row of failures.
    """

    def __init__(self, connection):
        self.connection = connection
        self.failures = 0
        self.counted = None  # the connection that has ended a row, by its beginning: it does so once

    def pause(self):
        """Count a failure. Return seconds: up to a minute, and at random, lest a fleet come back all at once."""
        if self.connection.steady() and self.counted != self.connection.since:
            self.failures, self.counted = 0, self.connection.since
        self.failures += 1
        return random.uniform(0.5, 1) * min(60, 2 ** min(self.failures, 6))


def run(provider, connection, interval):
    """Publish for ever. Four things fall due: a new token, a new connection, the end of a wait for an answer, a message."""
    token, expires, number, backoff = None, 0, 1, Backoff(connection)
    fetch_at = connect_at = answer_at = publish_at = time.monotonic()
    while True:
        now = time.monotonic()
        if now >= fetch_at:
            try:
                token, life = provider.token()
            except Exception as err:  # whatever the provider answers, that is no reason to end
                fetch_at = now + backoff.pause()  # the old token may be good for a while yet
                warn("no token:", err)
            else:
                answer_at = now + min(TIMEOUT, (expires - now) / 2)
                expires = now + life
                fetch_at = now + max(life, SHORTEST) * random.uniform(0.6, 0.8)
                if connection.ready:  # it has lasted for as long as its token was to
                    backoff.failures = 0
                    connection.renew(token)
                else:
                    connection.leave()
                    connect_at = max(now, connect_at)
        if connection.renewing is not None and now >= answer_at:
            warn("not renewed:", "no answer")
            connection.leave()
            connect_at = now
        if not connection.open and connect_at <= now < expires:
            connection.connect(token)
        if now >= publish_at:
            publish_at = now + interval
            if connection.publish(str(number)):
                number += 1
        soon = min(fetch_at, publish_at)
        if connection.renewing is not None:
            soon = min(soon, answer_at)
        if not connection.open and now < expires:
            soon = min(soon, connect_at)
        try:
            event, about, detail = connection.events.get(timeout=max(0, soon - time.monotonic()))
        except queue.Empty:
            continue
        if event == "connected":
            say("connected")
            connection.since = time.monotonic()
            connection.ready = True
            connection.send()
        elif event == "denied" and detail != connection.renewing:
            warn("not published:", about)
        elif event in ("denied", "answer"):
            error = connection.error_in(about) if event == "answer" else about
            if error is None or connection.renewing is None:
                continue
            connection.renewing = None
            if not error:
                say("renewed")
                continue
            warn("not renewed:", error)  # but the same token may be good for a login
            connection.leave()
            connect_at = time.monotonic()
        else:
            warn("disconnected:", about)
            # The broker may have let us in and then found the token revoked; its DISCONNECT can be lost.
            renew = detail or connection.ready and not connection.steady()
            connect_at = time.monotonic() + backoff.pause()
            connection.leave()
            if renew:
                expires, fetch_at = 0, connect_at


def stop(*_):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # one is enough: another must not end it while it leaves
    sys.exit(0)


def main():
    signal.signal(signal.SIGTERM, stop)
    provider, connection = Provider(), Connection(setting("TOPIC", "examples/python"))
    try:
        run(provider, connection, float(setting("INTERVAL", "1")))
    except KeyboardInterrupt:
        pass
    finally:
        connection.leave()


if __name__ == "__main__":
    main()
