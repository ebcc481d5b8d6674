#!/usr/bin/env bash
# sandbox.sh FOLDER: runs FOLDER/commands as root on a machine of its own, as
# far as they can tell: the files of this one under an overlay in FOLDER, with
# the plugin and the tool installed; no network but loopback; and processes of
# its own, which end with it.
set -euo pipefail

folder=$1
if [ -z "${2:-}" ]; then
	exec unshare --mount --net --pid --fork --kill-child --propagation private "$0" "$folder" inside
fi
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
mkdir "$folder"/{upper,work,root}
mount -t tmpfs tmpfs "$folder/upper" 2>/dev/null || true
mkdir "$folder"/upper/{files,work}
mount -t overlay overlay -o "lowerdir=/,upperdir=$folder/upper/files,workdir=$folder/upper/work" "$folder/root"
mount -t proc proc "$folder/root/proc"
mount --bind /dev "$folder/root/dev"
ip link set lo up
cd "$folder/root"
install -m 644 "$root/build/go_jwt_auth.so" usr/lib/go_jwt_auth.so
install -m 755 "$root/build/go-jwt-auth" usr/bin/go-jwt-auth
install -m 644 "$root/debian/mosquitto-go-jwt-auth.logrotate" etc/logrotate.d/mosquitto-go-jwt-auth
rm -rf etc/mosquitto/conf.d/* etc/mosquitto/jwt.json var/lib/mosquitto/*
mkdir -p srv/doc etc/mosquitto/conf.d
# There is no systemd here: this does what Debian's unit does.
cat >usr/bin/systemctl <<'SYSTEMCTL'
#!/bin/bash
[ "$*" = "restart mosquitto" ] || { echo "systemctl: $*?" >&2 && exit 1; }
if pid=$(cat /run/mosquitto/mosquitto.pid 2>/dev/null) && kill "$pid" 2>/dev/null; then
	while kill -0 "$pid" 2>/dev/null; do sleep 0.05; done
fi
install -d -o mosquitto /run/mosquitto /var/log/mosquitto
mosquitto -c /etc/mosquitto/mosquitto.conf >/dev/null 2>&1 </dev/null &
pid=$!
until : 2>/dev/null >/dev/tcp/127.0.0.1/1883; do
	kill -0 "$pid" 2>/dev/null || { cat /var/log/mosquitto/mosquitto.log >&2 && exit 1; }
	sleep 0.05
done
SYSTEMCTL
chmod 755 usr/bin/systemctl
cp "$folder/commands" srv/commands
chroot . bash -c 'cd /srv/doc && set -e && . /srv/commands' </dev/null
