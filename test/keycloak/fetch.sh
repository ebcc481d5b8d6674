#!/usr/bin/env bash
# fetch.sh: puts Keycloak into build/keycloak, ready to start in development
# mode, with the ordinary Maven client: a download of some 180 MB, which also
# stays in Maven's own cache. What is there already is kept.
#
# It needs Java 17 or newer, Maven and unzip, and installs those that are
# missing from the distribution.
set -euo pipefail

version=26.7.3
plugin=org.apache.maven.plugins:maven-dependency-plugin:3.8.1

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
into=$root/build/keycloak
# A folder made by another edition of this script is of no use.
edition=$(sha256sum "${BASH_SOURCE[0]}" | cut -c1-16)
[ "$(cat "$into/edition" 2>/dev/null)" != "$edition" ] || exit 0

command -v java >/dev/null || "$root/.ci/apt-install" default-jre-headless
command -v mvn >/dev/null || "$root/.ci/apt-install" maven
command -v unzip >/dev/null || "$root/.ci/apt-install" unzip
java=$(java -version 2>&1 | sed -n 's/.* version "\([0-9]*\).*/\1/p')
if [ "${java:-0}" -lt 17 ]; then
	echo "keycloak: Keycloak $version needs Java 17 or newer, and this is Java ${java:-of an unknown version}" >&2
	exit 1
fi

mkdir -p "$root/build"
work=$(mktemp -d "$root/build/.keycloak.XXXXXX")
trap 'rm -rf "$work"' EXIT
cd "$work" # where no pom.xml is

quietly() {
	"$@" >"$work/log" 2>&1 </dev/null || {
		cat "$work/log" >&2
		return 1
	}
}
echo "keycloak: fetching Keycloak $version …"
quietly mvn -B -C "$plugin:copy" -Dartifact="org.keycloak:keycloak-quarkus-dist:$version:zip" -DoutputDirectory="$work"
unzip -q "$work/keycloak-quarkus-dist-$version.zip"
new=$work/keycloak-$version

# The first start of all works the configuration into the program's own files,
# for 20 s, and then starts anew with what it has made. Here that is done once,
# in one place, and the second start left out.
cat >"$work/java" <<-'JAVA'
	#!/bin/sh
	for argument; do
		[ "$argument" != -Dkc.config.built=true ] || exit 0
	done
	exec java "$@"
JAVA
chmod 755 "$work/java"
unset "${!KC_@}" "${!JAVA_OPTS@}" # would be worked in as well
JAVA=$work/java quietly "$new/bin/kc.sh" start-dev
echo "$edition" >"$new/edition"
[ ! -e "$into" ] || mv -T "$into" "$work/old"
mv -T "$new" "$into"
echo "keycloak: build/keycloak is there ($(du -sh "$into" | cut -f1), after ${SECONDS} s)"
