#!/bin/sh
# try.sh token NAME: prints an access token for sensor-1, alice or bob.
# try.sh revoke NAME: revokes the token on standard input, as who got it may.
#
# KEYCLOAK_URL: where Keycloak is, otherwise http://localhost:8080.
set -eu
cd "$(dirname "$0")"

usage() { echo "usage: try.sh token NAME, or try.sh revoke NAME; NAME is sensor-1, alice or bob" >&2 && exit 2; }
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
