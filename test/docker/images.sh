#!/usr/bin/env bash
# images.sh [DOCKERFILE…]: builds docker/Dockerfile and docker/Dockerfile.alpine,
# or those named, with buildah, which needs no engine, and runs TestImages on
# them in a network of its own, where the broker's ports are free. Wants root.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
# shellcheck source=test/docker/buildah.sh
. "$here/buildah.sh"
[ $# -gt 0 ] || set -- Dockerfile Dockerfile.alpine

"$root/.ci/apt-install" iproute2 util-linux
images=()
for dockerfile in "$@"; do
	case $dockerfile in
	Dockerfile) bases=(golang debian) image=localhost/go-jwt-auth ;;
	Dockerfile.alpine) bases=(golang alpine) image=localhost/go-jwt-auth:alpine ;;
	*) echo "images.sh: there is no docker/$dockerfile" >&2 && exit 2 ;;
	esac
	"$here/bases.sh" "${bases[@]}"
	# The bases of this machine have the names of the real ones, and other digests.
	mapfile -t names < <(sed -n 's/^ARG \(.*\)@sha256:.*/--build-arg=\1/p' "$root/docker/$dockerfile")
	began=$SECONDS
	echo "docker: building docker/$dockerfile …"
	log=$root/build/docker/$dockerfile.log
	store bud --isolation chroot --format docker --pull-never "${names[@]}" -f "$root/docker/$dockerfile" -t "$image" "$root" >"$log" 2>&1 || {
		tail -n 30 "$log" >&2
		exit 1
	}
	store rmi --prune >/dev/null # the one before
	echo "docker: $image is there (after $((SECONDS - began)) s)"
	images+=("$image")
done
cd "$root/test"
go test -c -o "$root/build/docker/test" ./docker
cd docker
# shellcheck disable=SC2016 # the inner shell's
DOCKER_IMAGES="${images[*]}" unshare --net sh -c 'ip link set lo up && exec "$@"' sh "$root/build/docker/test" -test.v -test.run TestImages
