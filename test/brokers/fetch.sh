#!/usr/bin/env bash
# fetch.sh: puts the Mosquitto brokers that the tests run against into
# build/brokers/<version>/, unpacked from Debian's own packages and installed
# nowhere. Each folder holds bin/{mosquitto,mosquitto_ctrl,mosquitto_pub,
# mosquitto_sub}, mosquitto_dynamic_security.so and `series`, the version asked
# for.
# A folder that is there already is kept: delete it to fetch it anew.
#
# DEBIAN_MIRROR: the Debian mirror to use; otherwise the system's own.
# CI: when set, a version that can't be had is an error, else only a warning.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
into=$root/build/brokers
mkdir -p "$into"
work=$(mktemp -d "$into/.fetch.XXXXXX")
trap 'rm -rf "$work"' EXIT
# Folders made by another edition of this script are of no use.
edition=$(sha256sum "${BASH_SOURCE[0]}" | cut -c1-16)

say() { printf 'brokers: %s\n' "$*"; }
loud() { printf '\n*** brokers: %s ***\n\n' "$*" >&2; }

keyring=/usr/share/keyrings/debian-archive-keyring.gpg

# private_apt STATE SUITES PACKAGE…: downloads the packages and all that they
# depend on into STATE/cache/archives, as if nothing at all were installed.
private_apt() {
	local state=$1 suites=$2 suite
	shift 2
	mkdir -p "$state"/{lists,cache/archives}/partial "$state"/etc/none
	: >"$state/status"
	for suite in $suites; do
		printf 'deb [signed-by=%s] %s %s main\n' "$keyring" "$uri" "$suite"
	done >"$state/etc/sources.list"
	cat >"$state/apt.conf" <<-CONF
		Dir::State "$state";
		Dir::State::status "$state/status";
		Dir::State::extended_states "$state/extended_states";
		Dir::Cache "$state/cache";
		Dir::Etc::sourcelist "$state/etc/sources.list";
		Dir::Etc::sourceparts "$state/etc/none";
		Dir::Etc::preferences "$state/etc/preferences";
		Dir::Etc::preferencesparts "$state/etc/none";
		APT::Default-Release "";
		APT::Install-Recommends "false";
		APT::Sandbox::User "root";
		Acquire::Languages "none";
		Acquire::Retries "3";
		#clear APT::Update::Post-Invoke;
		#clear APT::Update::Post-Invoke-Success;
		#clear DPkg::Post-Invoke;
	CONF
	{
		apt-get -c "$state/apt.conf" update --error-on=any &&
			apt-get -c "$state/apt.conf" -y --download-only install "$@"
	} >"$state/log" 2>&1 </dev/null || {
		tail -n 20 "$state/log" >&2
		return 1
	}
}

# wrapper DIR NAME: DIR/bin/NAME, which becomes DIR/exec/NAME, run with the
# libraries unpacked beside it.
wrapper() {
	local dir=$1 name=$2
	local start="LD_LIBRARY_PATH=\"\$d/lib\" exec \"\$d/exec/$name\""
	if [ -e "$dir/lib/ld.so" ]; then
		start="exec \"\$d/lib/ld.so\" --library-path \"\$d/lib\" \"\$d/exec/$name\""
	fi
	# shellcheck disable=SC2016 # the wrapper expands them
	printf '#!/bin/sh\nd=$(cd "$(dirname "$0")/.." && pwd)\n%s "$@"\n' "$start" >"$dir/bin/$name"
	chmod 755 "$dir/bin/$name"
}

# unpack DEBS DIR: the programs, the plugin and the libraries of a broker.
unpack() {
	local debs=$1 dir=$2 deb name
	# The newer of the two C libraries must serve both: the plugin is built
	# against the system's, the broker against its own.
	local theirs ours
	theirs=$(dpkg-deb -f "$debs"/libc6_*.deb Version)
	ours=$(getconf GNU_LIBC_VERSION)
	dpkg --compare-versions "${theirs%%-*}" gt "${ours#glibc }" || rm "$debs"/libc6_*.deb

	mkdir -p "$dir"/{root,bin,exec,lib}
	for deb in "$debs"/*.deb; do
		dpkg-deb -x "$deb" "$dir/root"
	done
	find "$dir/root" -regex '.*/root\(/usr\)?/lib/[^/]*-linux-gnu[^/]*/[^/]*\.so[^/]*' \
		-not -name 'mosquitto_*' -exec mv -f -t "$dir/lib" {} +
	# Not every package carries its soname links: dpkg's trigger makes them.
	PATH=$PATH:/usr/sbin:/sbin ldconfig -n "$dir/lib"
	for name in "$dir"/lib/ld-linux*.so.*; do
		[ ! -f "$name" ] || ln -sf "${name##*/}" "$dir/lib/ld.so"
	done
	mv "$(find "$dir/root" -name mosquitto_dynamic_security.so -type f)" "$dir/"
	for name in mosquitto mosquitto_ctrl mosquitto_pub mosquitto_sub; do
		mv "$(find "$dir/root/usr" -path "*bin/$name" -type f)" "$dir/exec/$name"
		wrapper "$dir" "$name"
	done
	rm -rf "$dir/root"
}

# broker SERIES SUITES PACKAGE…: one folder of build/brokers.
broker() {
	local series=$1 suites=$2
	shift 2
	say "fetching Mosquitto $series from Debian ${suites##* } …"
	local state=$work/$series dir=$work/$series/new
	private_apt "$state" "$suites" "$@"
	unpack "$state/cache/archives" "$dir"
	printf '%s\n' "$series" >"$dir/series"
	printf '%s\n' "$edition" >"$dir/edition"

	local version
	version=$(dpkg-deb -f "$state/cache/archives"/mosquitto_*.deb Version)
	version=${version#*:} version=${version%-*}
	if [[ $("$dir/bin/mosquitto" -h 2>/dev/null || true) != *"version $version"* ]]; then
		loud "Mosquitto $version does not start: $("$dir/bin/mosquitto" -h 2>&1 | head -n1)"
		return 1
	fi
	case $version. in
	"$series".*) ;;
	*) loud "Debian ${suites##* } has moved on: $version stands for $series" ;;
	esac
	local old
	for old in "$into"/*/; do
		[ "$(cat "$old/series" 2>/dev/null)" != "$series" ] || rm -rf "$old"
	done
	mv -T "$dir" "$into/$version"
	say "build/brokers/$version is there ($(du -sh "$into/$version" | cut -f1), after ${SECONDS} s)"
}

# fetched SERIES: whether this edition of the script has fetched it already.
fetched() {
	local dir
	for dir in "$into"/*/; do
		[ "$(cat "$dir/series" "$dir/edition" 2>/dev/null)" != "$1"$'\n'"$edition" ] || return 0
	done
	return 1
}

wanted=()
jobs=()
# start SERIES SUITES PACKAGE…: fetches it in the background if it is missing.
start() {
	! fetched "$1" || return 0
	if [ -z "${uri:-}" ]; then
		[ -e "$keyring" ] || "$root/.ci/apt-install" debian-archive-keyring
		uri=$("$root/.ci/debian-mirror")
	fi
	broker "$@" &
	wanted+=("$1")
	jobs+=($!)
}
start 2.0.11 bookworm mosquitto mosquitto-clients
start 2.0.21 'bookworm bookworm-backports' {mosquitto,mosquitto-clients}/bookworm-backports
start 2.1 forky mosquitto mosquitto-clients

status=0
for i in "${!jobs[@]}"; do
	wait "${jobs[i]}" || {
		loud "Mosquitto ${wanted[i]} can't be had: nothing will be tested against it"
		[ -z "${CI:-}" ] || status=1
	}
done
exit "$status"
