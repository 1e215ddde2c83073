#!/bin/bash
# rehearse.sh [WORK [EXTRAS]]: build the CPU target and run two chains in it, in the image and in a mounted checkout, where no
# engine and no registry is, as root; in a new folder below WORK, which goes away at the end.
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
echo "== image: $(tool images --format "{{.Size}}" localhost/redifine:cpu)"

echo "== in the image, as the user of the image: entry point, versions, a chain of one iteration"
container=$(tool from --pull-never localhost/redifine:cpu)
inside() { tool run --isolation chroot "$container" -- redifine-entrypoint "$@"; }
inside --version
inside sh -c 'id -u; python docker/check.py requirements.lock docker/requirements-cpu.lock'
inside python -c 'import onnxruntime; print(onnxruntime.get_available_providers())'
inside set 'iterations={"1": {prev: 0}}' prompts=8 epochs=2 steps=5 trainer=kohya
inside repro
inside sh -c 'head -c 600 report/summary.json; dvc status'
tool rm "$container"

# A volume is stood in for by a copy of the folder that it is mounted on: an engine fills a new volume so, mode included.
echo "== as docker-repro runs it: a checkout and new volumes mounted, and a user that the image does not know"
container=$(tool from --pull-never localhost/redifine:cpu)
image=$(tool mount "$container")
git clone --quiet "$project" "$work/checkout"
cp -a "$image/redifine/chain/." "$work/checkout/"
rm -f "$work/checkout/.dvc/config.local"
chown -R 4711:4711 "$work/checkout"
mounts=(--volume "$work/checkout:/redifine/chain")
for volume in /cache/huggingface /cache/kernels /remote; do
    mkdir -p "$work/volumes$(dirname $volume)"
    cp -a "$image$volume" "$work/volumes$volume"
    mounts+=(--volume "$work/volumes$volume:$volume")
done
mounted() { tool run --isolation chroot --user 4711:4711 "${mounts[@]}" "$container" -- redifine-entrypoint "$@"; }
mounted set 'iterations={"1": {prev: 0}}' prompts=8 updates=4 steps=4 trainer=builtin
mounted repro
mounted sh -c 'rm -r data && dvc checkout --quiet && redifine remote /remote && redifine share'
mounted sh -c 'mkdir -p "$TORCHINDUCTOR_CACHE_DIR" "$TRITON_CACHE_DIR" && touch "$HF_HOME/here" "$TORCHINDUCTOR_CACHE_DIR/here" "$TRITON_CACHE_DIR/here"'
tool rm "$container"
dangling=$(find "$work/checkout" -path '*/.git' -prune -o -xtype l -print)
[ -z "$dangling" ] || { echo "links that lead nowhere outside the container: $dangling" >&2; exit 1; }
echo "outside: $(find "$work/checkout/data" -type f | wc -l) files in data/, no link that leads nowhere"
