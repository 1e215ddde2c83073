#!/bin/sh
# sd-scripts.sh FOLDER URL COMMIT: keep the submodule that came with the build, or fetch COMMIT as 'make vendor' does.
set -eu
folder=$1 url=$2 commit=$3

if [ -f "$folder/train_network.py" ] && [ -d "$folder/.git" ]; then
    found=$(git -C "$folder" -c safe.directory='*' rev-parse HEAD)
    if [ "$found" != "$commit" ]; then
        echo "vendor/sd-scripts is at $found, its pin is $commit: run 'make vendor' and build again" >&2
        exit 1
    fi
    exit 0
fi

rm -rf "$folder"
mkdir -p "$(dirname "$folder")"
git clone --quiet --filter=blob:none --no-checkout "$url" "$folder"
git -C "$folder" sparse-checkout set --no-cone '/*' '!/bitsandbytes_windows/' '!/configs/'
git -C "$folder" -c advice.detachedHead=false checkout --quiet "$commit"
