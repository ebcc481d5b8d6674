#!/usr/bin/env bash
# bases.sh: makes what the Dockerfiles begin with, where no registry of images
# is: golang and debian from Debian's own packages and this machine's Go, and
# eclipse-mosquitto from busybox and the Mosquitto that test/brokers/musl.sh
# builds. They get the names of the real ones, in a store of buildah's in
# build/docker. What is there already is kept. Wants root.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
into=$root/build/docker
# shellcheck source=test/docker/buildah.sh
. "$here/buildah.sh"

say() { printf 'docker: %s\n' "$*"; }
[ "$(id -u)" -eq 0 ] || { say "this wants root, for debootstrap and chroot" && exit 1; }
"$root/.ci/apt-install" buildah debootstrap busybox-static
edition=$(sha256sum "${BASH_SOURCE[0]}" | cut -c1-16)
[ "$(cat "$into/edition" 2>/dev/null)" = "$edition" ] || rm -rf "$into"
mkdir -p "$into"
echo "$edition" >"$into/edition"

uri=$("$root/.ci/debian-mirror")

# system SUITE [PACKAGE,…]: a folder with a Debian that installs as this machine does.
system() {
	local dir=$into/$1
	[ ! -e "$dir.made" ] || return 0
	rm -rf "$dir"
	say "making a Debian $1 …"
	debootstrap --variant=minbase ${2:+--include="$2"} "$1" "$dir" "$uri" >"$dir.log" 2>&1 || {
		tail "$dir.log" >&2
		return 1
	}
	rm -rf "$dir"/var/cache/apt/archives/*.deb "$dir"/var/lib/apt/lists/*
	touch "$dir.made"
}
# image NAME DIR [CONFIG…]: an image of the folder.
image() {
	local name=$1 dir=$2 container
	shift 2
	! store inspect "$name" >/dev/null 2>&1 || return 0
	say "making the image $name …"
	container=$(store from scratch)
	cp -a "$dir/." "$(store mount "$container")/" # buildah's add would give all of it to root
	store umount "$container" >/dev/null
	[ $# -eq 0 ] || store config "$@" "$container"
	store commit --quiet --rm "$container" "$name" >/dev/null
}

# alpine: a folder as the official image has it, in what the Dockerfile and the broker can see: busybox, musl, Mosquitto.
alpine() {
	local dir=$into/alpine brokers=$root/build/brokers-musl/2.1.2
	make -C "$root" --no-print-directory musl ARCH=amd64
	"$root/test/brokers/musl.sh"
	rm -rf "$dir"
	mkdir -p "$dir"/{bin,dev,etc,lib,mosquitto/{config,data,log},proc,sbin,sys,tmp,usr/{bin,lib,local/bin,sbin},var/empty}
	chmod 1777 "$dir/tmp"
	cp /bin/busybox "$dir/bin/"
	for name in $(busybox --list); do
		[ "$name" = busybox ] || ln -s busybox "$dir/bin/$name"
	done
	cp /usr/lib/x86_64-linux-musl/libc.so "$dir/lib/ld-musl-x86_64.so.1"
	cp -P "$brokers"/lib/*.so* "$brokers/mosquitto_dynamic_security.so" "$dir/usr/lib/"
	cp "$brokers/exec/mosquitto" "$dir/usr/sbin/"
	cp "$brokers"/exec/mosquitto_* "$dir/usr/bin/"
	printf '%s\n' root:x:0:0:root:/root:/bin/sh mosquitto:x:1883:1883:mosquitto:/var/empty:/sbin/nologin >"$dir/etc/passwd"
	printf '%s\n' root:x:0: mosquitto:x:1883: >"$dir/etc/group"
	chown -R 1883:1883 "$dir/mosquitto"
}

for base in "$@"; do
	case $base in
	golang)
		system bookworm ca-certificates,gcc,git,libc6-dev,make
		if [ ! -e "$into/bookworm/usr/local/go" ]; then
			cp -a "$(go env GOROOT)" "$into/bookworm/usr/local/go"
			cp /etc/ssl/certs/ca-certificates.crt "$into/bookworm/etc/ssl/certs/" # whom this machine trusts
		fi
		path=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
		image docker.io/library/golang:1.26-bookworm "$into/bookworm" --workingdir /go \
			--env GOPATH=/go --env GOTOOLCHAIN=local --env PATH="/go/bin:/usr/local/go/bin:$path" \
			--env GOPROXY="$(go env GOPROXY)" --env GOSUMDB="$(go env GOSUMDB)"
		;;
	debian)
		system trixie
		image docker.io/library/debian:trixie-slim "$into/trixie" --cmd bash
		;;
	alpine)
		alpine
		image docker.io/library/eclipse-mosquitto:2.1-alpine "$into/alpine" \
			--port 1883/tcp --volume /mosquitto/data --volume /mosquitto/log
		;;
	esac
done
