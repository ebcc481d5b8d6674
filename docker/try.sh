#!/bin/sh
# try.sh token NAME: prints an access token for sensor-1, alice or bob.
# try.sh revoke NAME: revokes the token on standard input, as who got it may.
# try.sh run COMMAND…: runs one of Mosquitto's clients in the broker's container
# with the token on standard input.
#
# KEYCLOAK_URL: where Keycloak is, otherwise http://localhost:8080.
set -eu
cd "$(dirname "$0")"

usage() {
	echo "usage: try.sh token NAME, try.sh revoke NAME or try.sh run COMMAND…; NAME is sensor-1, alice or bob" >&2
	exit 2
}
[ $# -ge 2 ] || usage
if [ "$1" = run ]; then
	shift
	# Everybody can see a command line: the clients read their options from a file,
	# which is in memory here, and gone when they end.
	# shellcheck disable=SC2016 # for the other shell
	exec docker compose exec -T mosquitto sh -ceu '
		umask 077
		XDG_CONFIG_HOME=$(mktemp -d -p /dev/shm)
		export XDG_CONFIG_HOME
		trap "rm -rf $XDG_CONFIG_HOME" EXIT
		trap "exit 130" INT TERM
		read -r token
		printf "%s\n" "-u any" "-P $token" >"$XDG_CONFIG_HOME/$1"
		"$@" </dev/null
	' sh "$@"
fi
[ $# -eq 2 ] || usage
# shellcheck disable=SC1091 # the secrets
. ./.env
case $2 in
sensor-1) client="client_id=sensor-1&client_secret=$SENSOR_SECRET" grant=grant_type=client_credentials ;;
alice) client=client_id=dashboard grant="grant_type=password&username=alice&password=$ALICE_PASSWORD" ;;
bob) client=client_id=dashboard grant="grant_type=password&username=bob&password=$BOB_PASSWORD" ;;
*) usage ;;
esac
# The form comes by standard input: everybody can see a command line.
realm=${KEYCLOAK_URL:-http://localhost:8080}/realms/mqtt
post() { curl -sS --fail --data @- "$realm/protocol/openid-connect/$1"; }
case $1 in
token)
	answer=$(printf '%s&%s' "$client" "$grant" | post token)
	printf '%s\n' "$answer" | sed 's/.*"access_token":"\([^"]*\)".*/\1/'
	;;
revoke) printf '%s&token=%s' "$client" "$(cat)" | post revoke ;;
*) usage ;;
esac
