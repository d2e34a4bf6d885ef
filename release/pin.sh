#!/bin/sh
# Writes requirements.txt beside each requirements.in below: every package that it comes to, by version and by the SHA-256 of each of its
# files, whatever the architecture and from Python 3.11 on. pip then installs nothing else (`--require-hashes`). Needs the network and uv
# (`pip install uv`); run it after a requirements.in was changed, or to take newer versions of what those lists do not name.
#
# What crates and container images come from is pinned elsewhere: Cargo.lock, runtime/*.txt, docs/security.md.
set -eu
cd "$(dirname "$0")/.."
uv=${UV:-uv}
for folder in proto deploy tests/interop/openapi tests/page tests/fleet; do
    "$uv" pip compile --quiet --no-config --universal --python-version 3.11 --upgrade --generate-hashes --no-annotate \
        --custom-compile-command 'release/pin.sh' --output-file "$folder/requirements.txt" "$folder/requirements.in"
done
