#!/bin/sh
# publish.sh: publishes a number every INTERVAL seconds by mosquitto_pub, with a
# token that is fetched anew before it expires. The settings are environment
# variables: see ../README.md.
#
# Nothing secret is in a command line, where every user of the machine could
# read it: curl gets the secret on its standard input, mosquitto_pub the token
# from a file.
set -eu

NOT_AUTHORIZED=135 # the broker does not take the token; anything else may pass by itself
TIMEOUT=10         # seconds for any one request

fail() {
	echo "publish.sh: $*" >&2
	exit 1
}

: "${ISSUER:?}" "${CLIENT_ID:?}" "${MQTT_URL:?}"
if [ -n "${CLIENT_SECRET_FILE:-}" ]; then
	CLIENT_SECRET=$(cat "$CLIENT_SECRET_FILE")
fi
: "${CLIENT_SECRET:?}"
case $ISSUER in
https://* | http://localhost[:/]* | http://127.0.0.1[:/]*) ;;
*) fail "ISSUER must begin with https://, or the secret could be read on its way" ;;
esac
topic=${TOPIC:-examples/mosquitto_pub}
interval=${INTERVAL:-1}

# mosquitto_pub looks for its options in $XDG_CONFIG_HOME/mosquitto_pub.
umask 077
XDG_CONFIG_HOME=$(mktemp -d)
export XDG_CONFIG_HOME
trap 'rm -rf "$XDG_CONFIG_HOME"' EXIT
trap 'kill $! 2>/dev/null || :; exit 0' INT TERM

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
	fi
	user=$(printf '%s' "$CLIENT_ID" | form_encoded):$(printf '%s' "$CLIENT_SECRET" | form_encoded)
	answer=$(
		ask --data grant_type=client_credentials ${SCOPE:+--data-urlencode "scope=$SCOPE"} \
			${AUDIENCE:+--data-urlencode "audience=$AUDIENCE"} "$endpoint" <<-END
				user = "$user"
			END
	) || return 1
	status=$(printf '%s' "$answer" | tail -n 1)
	answer=$(printf '%s' "$answer" | sed '$d')
	case $status in
	200) ;;
	400 | 401) fail "the provider gives no token: $(printf '%s' "$answer" | jq -r '.error, .error_description // empty' | tr '\n' ' ')" ;;
	*)
		echo "no token: HTTP $status" >&2
		return 1
		;;
	esac
	token=$(printf '%s' "$answer" | jq -er .access_token) || return 1
	lifetime=$(printf '%s' "$answer" | jq -r '.expires_in // 300')
	now=$(date +%s)
	expires=$((now + lifetime))
	renew_at=$((now + lifetime * $(random 60 80) / 100))
	# mosquitto_pub cuts its lines at 1,023 bytes, in all versions until 2.1.2.
	[ ${#token} -le 1000 ] ||
		fail "the token has ${#token} bytes, and mosquitto_pub takes 1,000 from a file: have the provider put less into it, or take another client"
	printf '%s\n' "-u $CLIENT_ID" "-P $token" >"$XDG_CONFIG_HOME/mosquitto_pub"
}

# publish TEXT: with QoS 1, so that it succeeds only if the broker has it.
publish() {
	mosquitto_pub -V mqttv5 -i "${MQTT_CLIENT_ID:-$CLIENT_ID}" ${CA_FILE:+--cafile "$CA_FILE"} -q 1 -L "$MQTT_URL/$topic" -m "$1"
}

number=1
expires=0
renew_at=0
unfetched=0   # failures in a row to get a token
unpublished=0 # and to publish
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
		echo "published $number"
		number=$((number + 1))
		unpublished=0
		nap "$interval"
		continue
	fi
	unpublished=$((unpublished + 1))
	nap "$(backoff $unpublished)"
	if [ $status -eq $NOT_AUTHORIZED ]; then
		expires=0
		renew_at=0
	fi
done
