#!/usr/bin/env bash
# sbom.sh: after build.sh, writes the software bills of materials of the plugin
# and of the tool (CycloneDX, JSON) into build/sbom: what is linked into them,
# as their own build information says. All architectures must have the same.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"
version=${VERSION:-0.1.0}
gomod=$root/build/tools/cyclonedx-gomod-v1.10.0
if [ ! -x "$gomod" ]; then
	GOBIN=$root/build/tools go install github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod@v1.10.0
	mv "$root/build/tools/cyclonedx-gomod" "$gomod"
fi
mkdir -p build/sbom

modules() { go version -m "$1" | awk '$1 == "dep" { print $2, $3 }'; }

# bill NAME BINARY…
bill() {
	local name=$1 each
	shift
	for each in "$@"; do
		[ "$(modules "$each")" = "$(modules "$1")" ] || { echo "sbom.sh: $each has other modules than $1" >&2 && exit 1; }
	done
	"$gomod" bin -json -std -noserial -notimestamp -version "v${version#v}" -output "build/sbom/$name.cdx.json" "$1"
}

bill go_jwt_auth.so build/glibc/*/go_jwt_auth.so
bill go-jwt-auth build/tool/*/go-jwt-auth
