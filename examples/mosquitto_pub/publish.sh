#!/bin/sh
# publish.sh: publishes a number every INTERVAL seconds by mosquitto_pub, with a
# token that is fetched anew before it expires. The settings are environment
# variables: see ../README.md.
#
# Nothing secret is in a command line, where every user of the machine could
# read it: curl gets the secret on its standard input, mosquitto_pub the token
# from a file.
set -eu

NOT_AUTHORIZED=135 # in CONNACK: the broker does not take the token; anything else may pass by itself
TIMEOUT=10         # seconds for any one request
ASSUMED=300        # seconds that a token is taken to live if the provider does not say
SHORTEST=5         # a token is renewed no sooner than one that lives for so many seconds
LONGEST=86400      # and no later than one that lives for so many

# shown: standard input without what could steer a terminal.
shown() { LC_ALL=C tr -c '[:print:]\n' '?'; }

say() { printf '%s\n' "$*" | shown >&2; }

fail() {
	say "publish.sh: $*"
	exit 1
}

: "${ISSUER:?}" "${CLIENT_ID:?}" "${MQTT_URL:?}"
if [ -n "${CLIENT_SECRET_FILE:-}" ]; then
	CLIENT_SECRET=$(cat "$CLIENT_SECRET_FILE")
fi
: "${CLIENT_SECRET:?}"

# want_private NAME URL: the secret goes there by TLS, or to this machine.
want_private() {
	case $2 in
	https://* | http://localhost[:/]* | http://127.0.0.1[:/]*) ;;
	*) fail "$1 must begin with https://, or the secret could be read on its way" ;;
	esac
}
want_private ISSUER "$ISSUER"
topic=${TOPIC:-examples/mosquitto_pub}
interval=${INTERVAL:-1}

# mosquitto_pub looks for its options in $XDG_CONFIG_HOME/mosquitto_pub.
umask 077
XDG_CONFIG_HOME=$(mktemp -d)
export XDG_CONFIG_HOME
trap 'rm -rf "$XDG_CONFIG_HOME"' EXIT
trap 'kill ${!:-} 2>/dev/null || :; exit 0' INT TERM

# random FROM TO: a number between, both included.
random() {
	awk -v from="$1" -v to="$2" -v seed="$(od -An -N4 -tu4 /dev/urandom)" \
		'BEGIN { srand(seed); print int(from + rand() * (to - from + 1)) }'
}

# backoff N: seconds to wait after N failures: up to a minute, and at random,
# lest a fleet come back all at once.
backoff() {
	most=$(($1 < 6 ? 1 << $1 : 60))
	random $((most / 2)) "$most"
}

# nap SECONDS: a sleep that a signal ends.
nap() {
	sleep "$1" &
	wait $!
}

# ask ARGUMENTS: curl; more of its options come on standard input. It prints the
# answer and, on a line of its own, the status.
ask() {
	curl --silent --show-error --max-time "$TIMEOUT" --write-out '\n%{http_code}' ${CA_FILE:+--cacert "$CA_FILE"} --config - "$@"
}

# form_encoded: standard input, as RFC 6749 section 2.3.1 wants it.
form_encoded() { jq -sRr '@uri'; }

# fetch: a token by the client credentials grant (RFC 6749 section 4.4) into the
# file, $renew_at and $expires. It fails where it may be tried again later.
endpoint=
fetch() {
	if [ -z "$endpoint" ]; then
		answer=$(ask "${ISSUER%/}/.well-known/openid-configuration" </dev/null) || return 1
		found=$(printf '%s' "$answer" | sed '$d' | jq -r .issuer) || return 1
		[ "$found" = "$ISSUER" ] || fail "ISSUER is $ISSUER, but the provider calls itself $found"
		endpoint=$(printf '%s' "$answer" | sed '$d' | jq -er .token_endpoint) || return 1
		want_private token_endpoint "$endpoint"
	fi
	user=$(printf '%s' "$CLIENT_ID" | form_encoded):$(printf '%s' "$CLIENT_SECRET" | form_encoded)
	answer=$(
		ask --data grant_type=client_credentials ${SCOPE:+--data-urlencode "scope=$SCOPE"} \
			${AUDIENCE:+--data-urlencode "audience=$AUDIENCE"} --url "$endpoint" <<-END
				user = "$user"
			END
	) || return 1
	status=$(printf '%s' "$answer" | tail -n 1)
	answer=$(printf '%s' "$answer" | sed '$d')
	case $status in
	200) ;;
	400 | 401) fail "the provider gives no token: $(printf '%s' "$answer" | jq -r '.error, .error_description // empty' | tr '\n' ' ')" ;;
	*)
		say "no token: HTTP $status"
		return 1
		;;
	esac
	token=$(printf '%s' "$answer" | jq -er .access_token) || return 1
	# Anything else could bring options of its own into the file below (RFC 6750 section 2.1).
	case $token in
	'' | *[!A-Za-z0-9._~+/=-]*) say "no token: there are characters in it that none has" && return 1 ;;
	esac
	# Some providers say 0, or nothing, of a token that is good.
	lifetime=$(
		printf '%s' "$answer" | jq -r --argjson assumed $ASSUMED --argjson longest $LONGEST \
			'(try (.expires_in | tonumber) catch 0) | if . > 0 then [., $longest] | min | ceil else $assumed end'
	) || return 1
	now=$(date +%s)
	expires=$((now + lifetime))
	renew_at=$((now + (lifetime > SHORTEST ? lifetime : SHORTEST) * $(random 60 80) / 100))
	# mosquitto_pub cuts its lines at 1,023 bytes, in all versions until 2.1.2.
	[ ${#token} -le 1000 ] ||
		fail "the token has ${#token} bytes, and mosquitto_pub takes 1,000 from a file: have the provider put less into it, or take another client"
	printf '%s\n' "-u $CLIENT_ID" "-P $token" >"$XDG_CONFIG_HOME/mosquitto_pub"
}

# publish TEXT: with QoS 1, so that it succeeds only if the broker has it, or
# says that it may not: of that mosquitto_pub warns, but makes no failure.
publish() {
	status=0
	warning=$(mosquitto_pub -V mqttv5 -i "${MQTT_CLIENT_ID:-$CLIENT_ID}" ${CA_FILE:+--cafile "$CA_FILE"} \
		-q 1 -L "$MQTT_URL/$topic" -m "$1" 2>&1) || status=$?
	case $warning in
	*"Publish 1 failed"*) say "not published $1: ${warning#*failed: }" ;;
	*)
		[ -z "$warning" ] || say "$warning"
		[ $status -ne 0 ] || echo "published $1"
		;;
	esac
	return $status
}

number=1
expires=0
renew_at=0
unfetched=0   # failures in a row to get a token
unpublished=0 # and to publish: a token that is refused does not end this row
while :; do
	if [ "$(date +%s)" -ge "$renew_at" ]; then
		if fetch; then
			unfetched=0
		else
			unfetched=$((unfetched + 1))
			renew_at=$(($(date +%s) + $(backoff $unfetched)))
		fi
	fi
	now=$(date +%s)
	if [ "$now" -ge "$expires" ]; then
		nap $((renew_at > now ? renew_at - now : 1))
		continue
	fi
	status=0
	publish "$number" || status=$?
	if [ $status -eq 0 ]; then
		number=$((number + 1))
		unpublished=0
		nap "$interval"
		continue
	fi
	unpublished=$((unpublished + 1))
	pause=$(backoff $unpublished)
	if [ $status -eq $NOT_AUTHORIZED ]; then
		expires=0
		renew_at=$(($(date +%s) + pause))
	fi
	nap "$pause"
done
