#!/usr/bin/env bash
# test.sh [STEP…]: tries the packages that build.sh has made, as root:
#   contents  what is in them, and lintian
#   arm       arm64 and armhf, under qemu: that architecture's Mosquitto and
#             the plugin admit a good token and refuse a forged one; so does
#             the musl build, in a small host program
#   install   in Debian 12 and 13 by debootstrap: install, one line in
#             mosquitto.conf, logins, rotation of the audit trail, purge, and
#             nothing is left behind
#   source    the Debian source package builds, without network
#   again     the same commit, built elsewhere, gives the same bytes
# Without arguments it does all of them.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/.." && pwd)
cd "$root"
packages=$root/build/packages
name=mosquitto-go-jwt-auth
work=$root/build/test-packages
mkdir -p "$work"
tool=$root/build/tool/$(dpkg --print-architecture)/go-jwt-auth
.ci/apt-install lintian rpm qemu-user-static debootstrap mosquitto-clients iproute2

say() { printf 'packages: %s\n' "$*"; }
fail() { say "FAILED: $*" >&2 && exit 1; }

contents() {
	local arch file deb rpm apk
	for arch in amd64 arm64 armhf; do
		deb=$(echo "$packages/${name}"_*_"$arch".deb)
		lintian --fail-on error,warning --tag-display-limit 0 --allow-root "$deb" || fail "lintian on $deb"
		case $arch in
		amd64) rpm=x86_64 apk=x86_64 ;;
		arm64) rpm=aarch64 apk=aarch64 ;;
		armhf) rpm=armv7hl apk=armv7 ;;
		esac
		dpkg-deb -c "$deb" | awk '{print $6}' | sed 's/^\.//' >"$work/deb.list"
		rpm -qpl "$packages/$name"-*."$rpm".rpm >"$work/rpm.list"
		tar -tzf "$packages/${name}"_*_"$apk".apk 2>/dev/null | sed 's/^/\//' >"$work/apk.list"
		for file in /usr/lib/go_jwt_auth.so /usr/bin/go-jwt-auth /usr/share/man/man1/go-jwt-auth{,-check-token}.1.gz \
			/usr/share/bash-completion/completions/go-jwt-auth "/usr/share/$name/jwt.schema.json" "/etc/logrotate.d/$name" \
			"/usr/share/doc/$name"/{copyright,changelog.gz,third-party-licenses.gz,README.md,docs/how-it-works.svg,docs/tool.md,docker/README.md} \
			"/usr/share/doc/$name/examples"/{tutorial/jwt.json,monitoring/{dashboard.json,prometheus.yml,rules.yml}}; do
			for list in deb rpm apk; do
				grep -qx "$file" "$work/$list.list" || fail "the .$list for $arch has no $file"
			done
		done
		for list in deb rpm; do
			grep -qx /usr/lib/systemd/system/mosquitto.service.d/go-jwt-auth.conf "$work/$list.list" || fail "the .$list for $arch has no drop-in for systemd"
		done
		! grep -q systemd "$work/apk.list" || fail "the .apk for $arch has something for systemd"
		grep -qx /usr/lib/go_jwt_auth_preload.so "$work/apk.list" || fail "the .apk for $arch has not the musl build"
		! grep -q preload "$work/deb.list" "$work/rpm.list" || fail "a package for glibc has the musl build"
		# What an administrator changes in it outlives an upgrade.
		dpkg-deb --ctrl-tarfile "$deb" | tar -xO ./conffiles | grep -qx "/etc/logrotate.d/$name" || fail "the .deb for $arch does not keep a changed file for logrotate"
		rpm -qpc "$packages/$name"-*."$rpm".rpm | grep -qx "/etc/logrotate.d/$name" || fail "the .rpm for $arch does not keep a changed file for logrotate"
		rpm -qpR "$packages/$name"-*."$rpm".rpm | grep -qx 'mosquitto >= 2.0.11' || fail "the .rpm asks for no mosquitto"
		tar -xzOf "$packages/${name}"_*_"$apk".apk .PKGINFO 2>/dev/null | grep -qx 'depend = mosquitto>=2.0.11' || fail "the .apk asks for no mosquitto"
		say "contents for $arch: good"
	done
}

# provider FILE: starts the embedded provider, which writes the new FILE, and sets issuer.
provider() {
	"$tool" dev-idp --listen 127.0.0.1:9400 --write "$1" >"$work/idp.log" 2>&1 &
	issuer=http://127.0.0.1:9400
	until [ -s "$1" ]; do
		kill -0 $! || fail "no provider: $(cat "$work/idp.log")"
		sleep 0.1
	done
}

# logins PORT LOG: waits for the broker, and tries a good and a forged token; the good one is then in token.
logins() {
	local tries=0 code=0
	until : 2>/dev/null >"/dev/tcp/127.0.0.1/$1"; do
		tries=$((tries + 1))
		[ $tries -lt 300 ] || { cat "$2" >&2 && fail "the broker did not start"; }
		sleep 0.1
	done
	token=$(echo secret | "$tool" token --issuer "$issuer" --client-id sensor-1 --client-secret-file -)
	mosquitto_pub -p "$1" -u any -P "$token" -t t -m m || { cat "$2" >&2 && fail "a good token was refused"; }
	mosquitto_pub -p "$1" -u any -P "${token%????}AAAA" -t t -m m 2>/dev/null || code=$?
	[ $code -eq 5 ] || { cat "$2" >&2 && fail "a forged token: exit code $code"; }
	grep -q "u'sensor-1'" "$2" || { cat "$2" >&2 && fail "the log does not say who was accepted"; }
}

# alone COMMAND…: in a network and a process group of its own, with nothing but
# loopback; what it started ends with it.
alone() { unshare --net --pid --fork --kill-child --mount-proc bash -c 'ip link set lo up && "$@"' alone "$here/test.sh" "$@"; }

arm() {
	local arch
	for arch in arm64 armhf; do
		foreign "$arch"
		alone "arm-alone" "$arch"
		say "logins on $arch: good"
	done
}

# foreign ARCH: that architecture's Mosquitto, unpacked into build/test-packages/ARCH.
foreign() {
	local to=$work/$1
	[ -e "$to/usr/sbin/mosquitto" ] || .ci/apt-unpack "$1" "$to" mosquitto
}

arm-alone() {
	local arch=$1 tree=$work/$1 qemu
	case $arch in
	arm64) qemu="qemu-aarch64-static" ;;
	armhf) qemu="qemu-arm-static" ;;
	esac
	dpkg-deb -x "$packages/${name}"_*_"$arch".deb "$tree"
	mkdir -p "$work/run-$arch"
	rm -f "$work/run-$arch"/*
	provider "$work/run-$arch/jwt.json"
	printf 'listener 1883 127.0.0.1\nallow_anonymous false\nuser root\nplugin /usr/lib/go_jwt_auth.so\nplugin_opt_config_file %s/jwt.json\n' "$work/run-$arch" >"$work/run-$arch/conf"
	"$qemu" -L "$tree" "$tree/usr/sbin/mosquitto" -c "$work/run-$arch/conf" -v >"$work/run-$arch/log" 2>&1 &
	logins 1883 "$work/run-$arch/log"
	musl "$arch"
	"$qemu" "$tree/usr/bin/go-jwt-auth" check-config --as= "$work/run-$arch/jwt.json" >/dev/null || fail "the tool for $arch"
}

# musl ARCH: the same for the musl build, in host.c. It runs beside arm-alone's provider.
musl() {
	local arch=$1 musl=$root/build/musl/$1 gnu
	case $arch in
	arm64) gnu="aarch64-linux-gnu" ;;
	armhf) gnu="arm-linux-gnueabihf" ;;
	esac
	"$gnu-gcc" -specs="$musl/gcc.specs" -I"$musl/include" -rdynamic -o "$work/host-$arch" "$here/host.c"
	"$qemu" -L "$musl/libc" -E LD_PRELOAD="$musl/go_jwt_auth_preload.so" "$work/host-$arch" "$musl/go_jwt_auth.so" "$work/run-$arch/jwt.json" \
		"$token" "${token%????}AAAA" >"$work/run-$arch/musl.log" 2>&1 || true
	# MOSQ_ERR_SUCCESS and MOSQ_ERR_AUTH
	if [ "$(grep '^host:' "$work/run-$arch/musl.log")" != 'host: verdict 0, known as "sensor-1"'$'\n''host: verdict 11, known as ""' ]; then
		cat "$work/run-$arch/musl.log" >&2
		fail "the musl build for $arch"
	fi
	# Without LD_PRELOAD it says what to do.
	("$qemu" -L "$musl/libc" "$work/host-$arch" "$musl/go_jwt_auth.so" "$work/run-$arch/jwt.json" 2>&1 || true) | grep -q 'start it with LD_PRELOAD=' ||
		fail "the musl build for $arch says nothing of LD_PRELOAD"
}

install() {
	local suite
	# By itself: as a package it wants a cron, and that systemd, which debootstrap does not get installed in Debian 13.
	[ -e "$work/logrotate/usr/sbin/logrotate" ] || .ci/apt-unpack amd64 "$work/logrotate" logrotate
	for suite in bookworm trixie; do
		if [ ! -e "$work/$suite.tar" ]; then
			rm -rf "${work:?}/$suite"
			debootstrap --variant=minbase --include=mosquitto "$suite" "$work/$suite" "$(.ci/debian-mirror)" >"$work/$suite.log" 2>&1 || { tail "$work/$suite.log" >&2 && fail "debootstrap $suite"; }
			tar -C "$work/$suite" -cf "$work/$suite.tar" .
		fi
		rm -rf "${work:?}/$suite"
		mkdir "$work/$suite"
		tar -C "$work/$suite" -xf "$work/$suite.tar"
		cp -P "$work/logrotate/usr/sbin/logrotate" "$work/$suite/usr/sbin/"
		cp -P "$work/logrotate"/usr/lib/x86_64-linux-gnu/libpopt.so.0* "$work/$suite/usr/lib/x86_64-linux-gnu/"
		alone "install-alone" "$suite"
		say "installed, used and removed in Debian $suite: good"
	done
}

# files TREE: every file of a system but what dpkg, apt and the broker write for themselves.
files() { (cd "$1" && find . -path ./proc -prune -o -path ./var/lib/dpkg -prune -o -path ./var/lib/apt -prune -o -path ./var/cache -prune -o -path ./var/log -prune -o -path ./run -prune -o -print | sort); }

install-alone() {
	local suite=$1 tree=$work/$1 code=0
	mount -t proc proc "$tree/proc" # goes with this namespace
	files "$tree" >"$work/$suite.before"
	cp "$packages/${name}"_*_amd64.deb "$tree/p.deb"
	DEBIAN_FRONTEND=noninteractive chroot "$tree" apt-get -qq -y install /p.deb >"$work/$suite.apt" 2>&1 || { cat "$work/$suite.apt" >&2 && fail "install in $suite"; }
	rm "$tree/p.deb"
	cp "$tree/etc/mosquitto/mosquitto.conf" "$work/mosquitto.conf"
	# The one line: jwt.json is where the plugin looks for it.
	echo 'plugin /usr/lib/go_jwt_auth.so' >>"$tree/etc/mosquitto/mosquitto.conf"
	rm -f "$tree/var/lib/mosquitto/jwt.json"
	provider "$tree/var/lib/mosquitto/jwt.json"
	sed -i 's|"options": {|&"audit": {"filePath": "/var/log/mosquitto/audit.jsonl"},|' "$tree/var/lib/mosquitto/jwt.json"
	chroot "$tree" go-jwt-auth check-config >"$work/$suite.check" || code=$?
	if ! { [ $code -eq 1 ] && grep -q 'chgrp mosquitto /var/lib/mosquitto/jwt.json && chmod 0640' "$work/$suite.check"; }; then
		cat "$work/$suite.check" >&2 && fail "check-config in $suite does not see that the broker can't read the file"
	fi
	chroot "$tree" sh -c 'chgrp mosquitto /var/lib/mosquitto/jwt.json && chmod 0640 /var/lib/mosquitto/jwt.json && go-jwt-auth check-config' >"$work/$suite.check" || { cat "$work/$suite.check" >&2 && fail "check-config in $suite"; }
	broker "$tree"
	logins 1883 "$tree/var/log/mosquitto/mosquitto.log"
	rotation "$tree"
	stop
	DEBIAN_FRONTEND=noninteractive chroot "$tree" apt-get -qq -y purge "$name" >"$work/$suite.apt" 2>&1 || { cat "$work/$suite.apt" >&2 && fail "purge in $suite"; }
	# Still configured, the broker does not start without it, which would be open.
	broker "$tree"
	! wait "$pid" || fail "in $suite the broker ended well without the plugin that it is told to load"
	grep -q 'Unable to load .*/usr/lib/go_jwt_auth.so' "$tree/var/log/mosquitto/mosquitto.log" || fail "in $suite the log does not say which plugin is missing"
	cp "$work/mosquitto.conf" "$tree/etc/mosquitto/mosquitto.conf"
	rm "$tree/var/lib/mosquitto/jwt.json" # the administrator's own
	rm -f "$tree/var/lib/mosquitto/mosquitto.db"
	files "$tree" >"$work/$suite.after"
	diff "$work/$suite.before" "$work/$suite.after" || fail "something is left behind in $suite"
	broker "$tree"
	until mosquitto_pub -p 1883 -t t -m m 2>/dev/null; do
		kill -0 "$pid" || fail "without the plugin the broker does not start"
		sleep 0.1
	done
	stop
}

# rotation TREE: what the package gives logrotate has the audit trail's file renamed, and opened anew by the broker.
rotation() {
	local trail=$1/var/log/mosquitto/audit.jsonl tries=0
	chroot "$1" logrotate --force --state /run/logrotate "/etc/logrotate.d/$name" || fail "logrotate"
	until grep -q '"event":"reload"' "$trail" 2>/dev/null; do
		tries=$((tries + 1))
		[ $tries -lt 300 ] || fail "the broker has not opened the audit trail anew: $(ls "${trail%/*}")"
		sleep 0.1
	done
	grep -q '"event":"login".*"result":"accepted"' "$trail.1" || fail "the renamed audit trail has no login: $(cat "$trail.1")"
}

# broker TREE: starts Mosquitto as Debian's unit does; pid is its process.
broker() {
	chroot "$1" install -d -o mosquitto /run/mosquitto /var/log/mosquitto
	chroot "$1" mosquitto -c /etc/mosquitto/mosquitto.conf &
	pid=$!
}

source() {
	.ci/apt-install debhelper devscripts dpkg-dev
	packaging/dist.sh >/dev/null
	# -d: the Go of this machine, which need not be a Debian package.
	alone source-alone || { tail "$work/source.log" >&2 && fail "dpkg-buildpackage"; }
	lintian --fail-on error --tag-display-limit 0 --allow-root build/dist/*.changes || fail "lintian on the source package"
	! dpkg-deb -c build/dist/"$name"_*.deb | grep -E 'share/doc/.*(LICENSE|\.md|\.json|\.svg)\.gz' || fail "dh_compress has packed what documents link to"
	say "dpkg-buildpackage: good"
}

source-alone() { (cd build/dist/"$name"-*/ && dpkg-buildpackage -d -us -uc >"$work/source.log" 2>&1); }

stop() {
	kill "$pid"
	wait "$pid" || fail "the broker ended with $?"
}

again() {
	local elsewhere
	elsewhere=$(mktemp -d)
	git clone -q "$root" "$elsewhere/other"
	# The bootstrap of the musl C library is a download, not a result.
	(
		cd "$elsewhere/other"
		umask 077
		TZ=Asia/Tokyo LC_ALL=C.UTF-8 make packages ARCHS=amd64 >"$work/again.log" 2>&1 || { tail "$work/again.log" >&2 && fail "building elsewhere"; }
		sha256sum build/packages/*
	) >"$work/elsewhere.sums"
	rm -rf "$elsewhere"
	(sha256sum --quiet -c "$work/elsewhere.sums") || fail "the same commit gave other bytes"
	say "built again elsewhere, $(wc -l <"$work/elsewhere.sums") packages have the same bytes"
}

[ $# -gt 0 ] || set -- contents arm install source again
case $1 in
*-alone) "$@" ;;
*)
	for step in "$@"; do
		"$step"
	done
	say "all good after $SECONDS s"
	;;
esac
