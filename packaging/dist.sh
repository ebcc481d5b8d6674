#!/usr/bin/env bash
# dist.sh: writes the source as Debian wants it into build/dist: an upstream
# tarball of the commit with the Go modules in vendor/, since nothing may be
# fetched while a Debian package is built, and beside it the unpacked source
# with debian/, ready for dpkg-buildpackage.
set -euo pipefail
umask 022
export LC_ALL=C TZ=UTC

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"
version=$(sed -n '1s/.*(\(.*\)-[^-]*).*/\1/p' debian/changelog)
name=mosquitto-go-jwt-auth
date=@${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
dist=$root/build/dist
rm -rf "$dist"
mkdir -p "$dist"

git archive --prefix="$name-$version/" HEAD | tar -C "$dist" -x
cd "$dist/$name-$version"
mv debian ../debian
for module in . cmd; do
	(cd "$module" && go mod vendor)
done
cd ..
tar --sort=name --mtime="$date" --owner=0 --group=0 --numeric-owner --mode=u=rwX,go=rX -cf - "$name-$version" | gzip -9n >"${name}_$version.orig.tar.gz"
mv debian "$name-$version/"
echo "build/dist/${name}_$version.orig.tar.gz"
