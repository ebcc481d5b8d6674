#!/usr/bin/env bash
# build.sh ARCH…: builds .deb, .rpm and .apk into build/packages. ARCH is
# Debian's name: amd64, arm64 or armhf (ARMv7). Go cross-compiles by Debian's
# cross compilers, which are installed where they are missing.
#
# The same commit gives the same bytes, wherever and whenever it is built:
# everything in the packages is dated by SOURCE_DATE_EPOCH, the commit's time.
# VERSION is what `git describe` says, RELEASE the packaging's own number.
set -euo pipefail
umask 022
export LC_ALL=C TZ=UTC

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/.." && pwd)
cd "$root"
export VERSION=${VERSION:-0.1.0} RELEASE=${RELEASE:-1}
export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
export MAINTAINER=${MAINTAINER:-go_jwt_auth maintainers <maintainers@users.noreply.github.com>}
# A version with a hyphen would be taken for an upstream version and a revision.
VERSION=${VERSION//-/+}

name=mosquitto-go-jwt-auth
nfpm=$root/build/tools/nfpm-v2.43.0
out=$root/build/packages
mkdir -p "$out"
.ci/apt-install mosquitto-dev libmosquitto-dev gzip
if [ ! -x "$nfpm" ]; then
	GOBIN=$root/build/tools go install github.com/goreleaser/nfpm/v2/cmd/nfpm@v2.43.0
	mv "$root/build/tools/nfpm" "$nfpm"
fi

# plugin ARCH: build/glibc/ARCH/go_jwt_auth.so.
plugin() {
	local arch=$1 dir=$root/build/glibc/$1 gnu
	case $arch in
	amd64) gnu=x86_64-linux-gnu && export GOARCH=amd64 ;;
	arm64) gnu=aarch64-linux-gnu && export GOARCH=arm64 ;;
	armhf) gnu=arm-linux-gnueabihf && export GOARCH=arm GOARM=7 ;;
	*) echo "build.sh: unknown architecture $arch" >&2 && exit 2 ;;
	esac
	[ "$arch" = "$(dpkg --print-architecture)" ] || .ci/apt-install "gcc-$gnu" "libc6-dev-$arch-cross"
	mkdir -p "$dir/include"
	# Mosquitto's headers are the same everywhere, but a cross compiler does not look where they are.
	cp /usr/include/mosquitto*.h "$dir/include/"
	CC=$gnu-gcc CGO_ENABLED=1 GOOS=linux CGO_CFLAGS="-O2 -I$dir/include -ffile-prefix-map=$root=." \
		go build -buildmode=c-shared -trimpath -buildvcs=false -o "$dir/go_jwt_auth.so" \
		-ldflags "-s -w -buildid= -X go-jwt-auth/plugin.Version=$VERSION -extldflags '-Wl,--build-id=none -Wl,-z,relro,-z,now'" ./cgo
	rm "$dir/go_jwt_auth.h"
	mkdir -p "$root/build/tool/$arch"
	(cd cmd && CGO_ENABLED=0 GOOS=linux go build -trimpath -buildvcs=false -o "$root/build/tool/$arch/go-jwt-auth" \
		-ldflags "-s -w -buildid= -X go-jwt-auth/plugin.Version=$VERSION" ./go-jwt-auth)
}

# tree ARCH LIBC: what is packed, in a folder.
tree() {
	local arch=$1 libc=$2 to=$root/build/root/$2-$1 doc page
	rm -rf "$to"
	doc=$to/usr/share/doc/$name
	mkdir -p "$to"/usr/{bin,lib,share/{man/man1,$name,bash-completion/completions,zsh/vendor-completions,fish/vendor_completions.d,lintian/overrides}} "$doc/examples"
	cp "$root/build/$libc/$arch"/*.so "$to/usr/lib/"
	cp "$root/build/tool/$arch/go-jwt-auth" "$to/usr/bin/"
	for page in "$root"/build/docs/man/*.1; do
		gzip -9n <"$page" >"$to/usr/share/man/man1/${page##*/}.gz"
	done
	cp "$root/build/docs/completion/go-jwt-auth.bash" "$to/usr/share/bash-completion/completions/go-jwt-auth"
	cp "$root/build/docs/completion/_go-jwt-auth" "$to/usr/share/zsh/vendor-completions/"
	cp "$root/build/docs/completion/go-jwt-auth.fish" "$to/usr/share/fish/vendor_completions.d/"
	cp docs/jwt.schema.json "$to/usr/share/$name/"
	cp debian/copyright "$doc/copyright"
	gzip -9n <debian/changelog >"$doc/changelog.Debian.gz"
	gzip -9n <CHANGELOG.md >"$doc/changelog.gz"
	packaging/licenses.sh "$root/build/glibc/$arch/go_jwt_auth.so" "$root/build/tool/$arch/go-jwt-auth" | gzip -9n >"$doc/third-party-licenses.gz"
	# As far as they are in the commit, without what building the examples leaves behind.
	xargs git ls-files -z <packaging/documents | xargs -0 cp --parents -t "$doc"
	if [ "$libc" = glibc ]; then
		install -D packaging/go-jwt-auth.conf "$to/usr/lib/systemd/system/mosquitto.service.d/go-jwt-auth.conf"
	fi
	install -D debian/mosquitto-go-jwt-auth.logrotate "$to.etc/mosquitto-go-jwt-auth"
	chmod 644 "$to.etc/mosquitto-go-jwt-auth"
	touch -d "@$SOURCE_DATE_EPOCH" "$to.etc/mosquitto-go-jwt-auth"
	cp debian/mosquitto-go-jwt-auth.lintian-overrides "$to/usr/share/lintian/overrides/$name"
	find "$to" -type d -exec chmod 755 {} +
	find "$to" -type f -exec chmod 644 {} +
	chmod 755 "$to/usr/bin/go-jwt-auth"
	# nfpm takes the times of an .apk's folders from here.
	find "$to" -exec touch -d "@$SOURCE_DATE_EPOCH" {} +
}

# What a package ships of the tool's documents is made once, by this machine's own.
CGO_ENABLED=0 go -C cmd build -buildvcs=false -ldflags "-X go-jwt-auth/plugin.Version=$VERSION" -o "$root/build/docs/go-jwt-auth" ./go-jwt-auth
build/docs/go-jwt-auth docs build/docs

for arch in "$@"; do
	(plugin "$arch")
	ARCH=$arch cgo/musl/build.sh "$arch"
	for libc in glibc musl; do
		tree "$arch" "$libc"
	done
	case $arch in armhf) NFPM_ARCH=arm7 ;; *) NFPM_ARCH=$arch ;; esac
	export NFPM_ARCH
	for packager in deb rpm apk; do
		root_of=build/root/glibc-$arch
		config=packaging/nfpm.yaml
		if [ "$packager" = apk ]; then
			root_of=build/root/musl-$arch
			# Alpine's descriptions are one line.
			config=build/nfpm-apk.yaml
			sed '/^  A plugin/,/^  The tool/d' packaging/nfpm.yaml >"$config"
		fi
		ROOT=$root_of "$nfpm" package --config "$config" --packager "$packager" --target "$out/"
	done
done
