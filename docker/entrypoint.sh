#!/bin/sh
# entrypoint.sh COMMAND…: what a broker needs at its first start, then the command.
set -eu

conf=/mosquitto/config/mosquitto.conf
seed=/mosquitto/config/dynamic-security.json
dynsec=/mosquitto/data/dynamic-security.json

# first_dynsec: dynamic-security wants a file, and writes it. It begins as the one that was mounted for that, or else
# with an administrator whose password nobody else has.
first_dynsec() {
	umask 077
	if [ -e "$seed" ]; then
		cat "$seed" >"$dynsec.new"
		mv "$dynsec.new" "$dynsec"
		echo "entrypoint: $dynsec begins as $seed"
		return
	fi
	password=$(head -c 24 /dev/urandom | base64 | tr -d '+/=') # letters and digits: mosquitto_ctrl takes what begins with - for an option
	said=$(mosquitto_ctrl dynsec init "$dynsec" admin "$password" 2>&1) || true
	if [ ! -s "$dynsec" ]; then # its exit code does not tell
		echo "entrypoint: $dynsec can't be made: $said" >&2
		exit 1
	fi
	echo "entrypoint: $dynsec is new. Its administrator is admin, with the password $password, which is shown only now"
}

case ${1-} in
mosquitto | */mosquitto)
	if [ ! -e "$dynsec" ] && grep -qs "^plugin_opt_config_file $dynsec" "$conf"; then
		(first_dynsec)
	fi
	# As in the official images: somebody who starts this as root has the broker give that up.
	[ "$(id -u)" -ne 0 ] || chown -R mosquitto:mosquitto /mosquitto/data
	# On musl the plugin must be there from the start (docs/musl.md), in the broker and nowhere else.
	preload=/usr/lib/go_jwt_auth_preload.so
	if [ -e "$preload" ]; then
		export LD_PRELOAD="$preload"
	fi
	;;
esac
exec "$@"
