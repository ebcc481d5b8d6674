#!/usr/bin/env bash
# licenses.sh BINARY…: prints the licence of every Go module that is linked into
# the binaries, and Go's own, as their authors want it to go with copies.
# One without a licence is an error. They are read from vendor/ where that is.
set -euo pipefail

heading() { printf '\n%s\n%s\n\n' "$1" "${1//?/-}"; }

heading "The Go programming language ($(go env GOVERSION))"
cat "$(go env GOROOT)/LICENSE"
for binary in "$@"; do
	go version -m "$binary"
done | awk '$1 == "dep" && $2 !~ /^go-jwt-auth/ { print $2, $3 }' | sort -u | while read -r module version; do
	for dir in "vendor/$module" "cmd/vendor/$module" ''; do
		[ ! -d "$dir" ] || break
	done
	[ -n "$dir" ] || dir=$(go mod download -json "$module@$version" | sed -n 's/^\t"Dir": "\(.*\)",\{0,1\}$/\1/p')
	mapfile -t files < <(find "$dir" -maxdepth 1 -type f -iregex '.*/\(licen[cs]e\|copying\|notice\|patents\|unlicense\).*' | sort)
	[ ${#files[@]} -gt 0 ] || { echo "licenses.sh: $module $version has no licence" >&2 && exit 1; }
	heading "$module $version"
	cat "${files[@]}"
done
