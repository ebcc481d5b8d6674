#!/usr/bin/env bash
# musl.sh: builds Mosquitto 2.0.21 and 2.1.2 from Debian's source packages
# against musl, as Alpine's are, into build/brokers-musl/<version>/, laid out
# as fetch.sh does. LD_PRELOAD maps the plugin that cgo/musl has built. What
# they are built with (OpenSSL, cJSON, libwebsockets) is built first, as musl
# has nothing.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
into=$root/build/brokers-musl
plugin=$root/build/musl/amd64
edition=$(sha256sum "${BASH_SOURCE[0]}" | cut -c1-16)
[ "$(cat "$into/edition" 2>/dev/null)" != "$edition" ] || exit 0

say() { printf 'brokers-musl: %s\n' "$*"; }
[ -e "$plugin/gcc.specs" ] || { say "cgo/musl/build.sh amd64 comes first" && exit 1; }
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
"$root/.ci/apt-install" musl uthash-dev linux-libc-dev perl cmake debian-archive-keyring xz-utils
rm -rf "$into"
mkdir -p "$into/work"
cd "$into/work"

say "fetching the sources …"
uri=$("$root/.ci/debian-mirror")
mkdir -p apt/{lists,cache/archives}/partial apt/none
: >apt/status
for suite in bookworm trixie forky; do
	printf 'deb-src [signed-by=%s] %s %s main\n' "$keyring" "$uri" "$suite"
done >apt/sources.list
cat >apt/apt.conf <<CONF
Dir::State "$PWD/apt";
Dir::State::status "$PWD/apt/status";
Dir::Cache "$PWD/apt/cache";
Dir::Etc::sourcelist "$PWD/apt/sources.list";
Dir::Etc::sourceparts "$PWD/apt/none";
APT::Sandbox::User "root";
Acquire::Retries "3";
CONF
apt-get -qq -c apt/apt.conf update
# One by one: each from its own release.
for source in openssl/bookworm libwebsockets/bookworm cjson/trixie mosquitto/trixie mosquitto/forky; do
	apt-get -qq -c apt/apt.conf --download-only source "$source"
done
for tarball in *.orig.tar.*z; do
	tar xf "$tarball"
done

# Headers of the kernel and of uthash, and nothing else of the system's.
mkdir kernel uthash
ln -s /usr/include/linux /usr/include/asm-generic kernel/
ln -s /usr/include/x86_64-linux-gnu/asm kernel/asm
cp /usr/include/ut*.h uthash/
out=$PWD/out
cc="x86_64-linux-gnu-gcc -specs=$plugin/gcc.specs -idirafter $PWD/kernel -idirafter $PWD/uthash"
jobs=$(nproc)

# built NAME COMMAND…: runs it with its output in a file, shown if it fails.
built() {
	local name=$1
	shift
	say "building $name …"
	("$@") >"$name.log" 2>&1 || { tail -n 20 "$name.log" >&2 && return 1; }
}

openssl() {
	cd openssl-*/
	CC=$cc ./Configure linux-x86_64 no-tests no-async no-engine no-module no-legacy --prefix="$out" --libdir=lib
	make -j"$jobs" build_libs
	make install_dev
}
cjson() {
	mkdir -p "$out/include/cjson"
	cp cJSON-*/cJSON.h "$out/include/cjson/"
	$cc -shared -fPIC -O2 -Wl,-soname=libcjson.so.1 -o "$out/lib/libcjson.so.1" cJSON-*/cJSON.c
	ln -s libcjson.so.1 "$out/lib/libcjson.so"
}
websockets() {
	mkdir websockets
	cd websockets
	cmake ../libwebsockets-*/ -DCMAKE_C_COMPILER=x86_64-linux-gnu-gcc -DCMAKE_C_FLAGS="${cc#* }" -DDISABLE_WERROR=ON \
		-DLWS_WITH_STATIC=OFF -DLWS_WITHOUT_TESTAPPS=ON -DLWS_WITH_MINIMAL_EXAMPLES=OFF -DLWS_WITH_EXTERNAL_POLL=ON \
		-DLWS_IPV6=ON -DLWS_WITH_LIBCAP=OFF -DLWS_OPENSSL_INCLUDE_DIRS="$out/include" \
		-DLWS_OPENSSL_LIBRARIES="$out/lib/libssl.so;$out/lib/libcrypto.so"
	make -j"$jobs" websockets_shared
	cp -P lib/*.so* "$out/lib/"
	cp -r include/. ../libwebsockets-*/include/. "$out/include/"
}
mosquitto() {
	cd "$1"
	shift
	make -j"$jobs" WITH_SYSTEMD=no WITH_DOCS=no WITH_SRV=no WITH_STRIP=no "$@" CC="$cc" \
		CFLAGS="-O2 -I$out/include" CPPFLAGS="-I$out/include" LDFLAGS="-L$out/lib -Wl,-rpath-link=$out/lib" binary
}
built openssl openssl
built cjson cjson
built libwebsockets websockets
built mosquitto-2.0.21 mosquitto mosquitto-2.0.21 WITH_WEBSOCKETS=yes
built mosquitto-2.1.2 mosquitto eclipse-mosquitto-mosquitto-*/ WITH_WEBSOCKETS=yes WITH_SQLITE=no WITH_EDITLINE=no WITH_HTTP_API=no WITH_ARGON2=no

# place VERSION SERIES SOURCE: what the tests need of a broker.
place() {
	local dir=$into/$1 name
	mkdir -p "$dir"/{bin,exec,lib}
	cp "$out"/lib/*.so* "$(find "$3" -name 'libmosquitto.so.1' -type f)" "$dir/lib/"
	find "$3" -name 'libmosquitto_common.so.1' -type f -exec cp {} "$dir/lib/" \;
	cp "$(find "$3" -name mosquitto_dynamic_security.so -type f)" "$dir/"
	for name in mosquitto mosquitto_ctrl mosquitto_pub mosquitto_sub; do
		cp "$(find "$3" -name "$name" -type f -perm -u+x -not -path '*/test/*' | head -n1)" "$dir/exec/"
		# As in a container: the plugin is mapped into every program there, also the clients. PRELOAD= leaves it out.
		# shellcheck disable=SC2016 # the wrapper expands it
		printf '#!/bin/sh\nd=$(cd "$(dirname "$0")/.." && pwd)\nLD_LIBRARY_PATH="$d/lib" LD_PRELOAD=${PRELOAD-%s} exec "$d/exec/%s" "$@"\n' \
			"$plugin/go_jwt_auth_preload.so" "$name" >"$dir/bin/$name"
		chmod 755 "$dir/bin/$name"
	done
	printf '%s\n' "$2" >"$dir/series"
	[[ $("$dir/bin/mosquitto" -h 2>/dev/null || true) == *"version $1"* ]] || { say "Mosquitto $1 does not start" && return 1; }
}
place 2.0.21 2.0.21 mosquitto-2.0.21
place 2.1.2 2.1 eclipse-mosquitto-mosquitto-*/
rm -rf "$into/work"
echo "$edition" >"$into/edition"
say "build/brokers-musl is there (after $SECONDS s)"
