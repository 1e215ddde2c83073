#!/bin/bash
# rehearse.sh [WORK [EXTRAS]]: build the CPU target and run a chain in it where no engine and no registry is, as root; in a
# new folder below WORK, which goes away at the end.
#
# buildah runs every step of docker/Dockerfile in a chroot. The base image is not pulled: a root made from packages of the
# same Debian release takes its name. EXTRAS is a folder for networks of their own: EXTRAS/root is laid over that root (a
# pip.conf, certificates), EXTRAS/index is a package index that stands in for PyTorch's. Needs buildah and mmdebstrap.
set -euo pipefail
place=$(realpath -m "${1:-scratch/rehearsal}")
extras=${2:+$(realpath "$2")}
cd "$(dirname "$0")/.."
project=$PWD
tag=$(sed -n 's/^ARG DEBIAN=//p' docker/Dockerfile)
release=${tag%%-*}
mkdir -p "$place"
# A folder of its own: what is removed at the end is never the user's.
work=$(mktemp -d "$place/XXXXXX")
mkdir "$work/tmp" "$work/root"
trap 'rm -rf --one-file-system "$work"' EXIT

tool() { TMPDIR=$work/tmp buildah --root "$work/storage" --runroot "$work/run" --storage-driver vfs "$@"; }

echo "== base image: Debian $release from its packages, in the name of debian:$tag"
mmdebstrap --quiet --mode=root --variant=minbase --include=ca-certificates "$release" "$work/root.tar"
tar --directory "$work/root" --extract --file "$work/root.tar"
if [ -d "$extras/root" ]; then
    cp -r "$extras/root/." "$work/root/"
    chroot "$work/root" update-ca-certificates
fi
container=$(tool from scratch)
tool copy --quiet "$container" "$work/root" /
tool commit --quiet "$container" "docker.io/library/debian:$tag"
tool rm "$container"
rm -rf "$work/root" "$work/root.tar"

echo "== docker/Dockerfile, target cpu"
options=(--isolation chroot --pull-never --layers=false --format docker --target cpu --tag redifine:cpu)
options+=(--ignorefile docker/Dockerfile.dockerignore --file docker/Dockerfile)
if [ -d "$extras/index" ]; then
    options+=(--volume "$extras/index:/index:ro" --build-arg TORCH_INDEX=file:///index)
fi
tool build "${options[@]}" "$project"

echo "== in the image, as the user of the image: entry point, versions, a chain of one iteration"
container=$(tool from --pull-never localhost/redifine:cpu)
inside() { tool run --isolation chroot "$container" -- redifine-entrypoint "$@"; }
inside --version
inside sh -c 'id -u; python docker/check.py requirements.lock'
inside set 'iterations={"1": {prev: 0}}' prompts=8 epochs=2 steps=5 trainer=kohya
inside repro
inside sh -c 'head -c 600 report/summary.json; dvc status'
tool rm "$container"
