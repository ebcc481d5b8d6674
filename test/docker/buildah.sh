# Sourced.
# shellcheck shell=bash

# store COMMAND…: buildah with the store that is in build/docker.
store() {
	local into=${root:?}/build/docker
	buildah --root "$into/storage" --runroot "$into/run" --storage-driver vfs "$@"
}
