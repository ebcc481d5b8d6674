#!/usr/bin/env bash
# build.sh ARCH: builds the plugin for musl into build/musl/ARCH: the loader
# go_jwt_auth.so, which mosquitto.conf names, and go_jwt_auth_preload.so, which
# LD_PRELOAD maps. ARCH is Debian's name: amd64, arm64 or armhf.
#
# VERSION: the version to build; SOURCE_DATE_EPOCH is respected by the tools.
set -euo pipefail

arch=${1:?usage: build.sh ARCH}
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
out=$root/build/musl/$arch
mkdir -p "$out/include"

case $arch in
amd64) export GOARCH=amd64 && gnu=x86_64-linux-gnu musl=x86_64-linux-musl loader=ld-musl-x86_64.so.1 start=_rt0_amd64_linux_lib ;;
arm64) export GOARCH=arm64 && gnu=aarch64-linux-gnu musl=aarch64-linux-musl loader=ld-musl-aarch64.so.1 start=_rt0_arm64_linux_lib ;;
armhf) export GOARCH=arm GOARM=7 && gnu=arm-linux-gnueabihf musl=arm-linux-musleabihf loader=ld-musl-armhf.so.1 start=_rt0_arm_linux_lib ;;
*) echo "build.sh: unknown architecture $arch" >&2 && exit 2 ;;
esac
packages=(mosquitto-dev libmosquitto-dev binutils-"${gnu//_/-}")
[ "$arch" = "$(dpkg --print-architecture)" ] || packages+=(gcc-"${gnu//_/-}")
"$root/.ci/apt-install" "${packages[@]}"

# The C library: its files are taken out of Debian's package, which need not
# be installed and can't be for another architecture.
[ -e "$out/libc/usr/lib/$musl/libc.a" ] || "$root/.ci/apt-unpack" "$arch" "$out/libc" musl-dev
libc=$out/libc/usr/lib/$musl
cp -f "$out/libc/lib/$musl/libc.so" "$libc/" # else the linker takes libc.a into the library
includes=$out/libc/usr/include/$musl
# musl's own gcc wrapper does this: nothing of glibc's is seen, only libgcc.
cat >"$out/gcc.specs" <<SPECS
%rename cpp_options old_cpp_options

*cpp_options:
-nostdinc -isystem $includes -isystem include%s %(old_cpp_options)

*cc1:
%(cc1_cpu) -nostdinc -isystem $includes -isystem include%s

*link_libgcc:
-L$libc -L .%s

*libgcc:
libgcc.a%s %:if-exists(libgcc_eh.a%s)

*startfile:
%{!shared: $libc/Scrt1.o} $libc/crti.o crtbeginS.o%s

*endfile:
crtendS.o%s $libc/crtn.o

*link:
-dynamic-linker /lib/$loader -nostdlib %{shared:-shared} %{static:-static} %{rdynamic:-export-dynamic}

SPECS
cc="$gnu-gcc -specs=$out/gcc.specs"
cp /usr/include/mosquitto*.h "$out/include/"

# libgcc's own atomics for ARM64 ask the C library in glibc's way which the processor has.
atomics=
[ "$arch" != arm64 ] || atomics=-mno-outline-atomics

# Go's libraries can't be loaded by musl's dlopen, and as a constructor Go's
# start would find no arguments: so it is taken out of the constructors, and
# plugin.c calls it (docs/musl.md).
work=$out/work
rm -rf "$work"
mkdir -p "$work"
reproducible="-ffile-prefix-map=$root=/src -ffile-prefix-map=$out=/musl"
(
	cd "$root"
	# netgo: getaddrinfo would run on musl's small stacks, and Alpine has no nsswitch to follow.
	CC=$cc CGO_ENABLED=1 GOOS=linux \
		CGO_CFLAGS="-O2 $atomics -DGJA_PRELOADED -DGJA_RUNTIME_START=$start -I$out/include $reproducible" \
		go build -buildmode=c-archive -trimpath -tags netgo,osusergo \
		-ldflags "-X go-jwt-auth/plugin.Version=${VERSION:-0.1.0} -buildid=" -o "$work/go.a" ./cgo
)
(cd "$work" && "$gnu-ar" x go.a && "$gnu-objcopy" --remove-section=.init_array --remove-section=.rel*.init_array --globalize-symbol="$start" go.o)
link="$cc -shared -Wl,-Bsymbolic -Wl,-z,nodelete -Wl,-z,relro -Wl,--build-id=none -Wl,--as-needed"
# shellcheck disable=SC2086 # they are lists of words
$link -Wl,--version-script="$here/exports.map" -Wl,-soname=go_jwt_auth_preload.so -o "$work/go_jwt_auth_preload.so" "$work"/*.o -lpthread
# shellcheck disable=SC2086
$link -fPIC -O2 -Wall -Wextra -I"$out/include" $reproducible -Wl,-soname=go_jwt_auth.so -o "$work/go_jwt_auth.so" "$here/loader.c"
"$gnu-strip" --strip-unneeded "$work"/*.so
mv "$work"/*.so "$out/" # in place of those that a broker may be running with
rm -rf "$work"
