#!/bin/sh
# Everything that is tried against the real thing: each folder's run.sh, one after the other.
set -eu
for part in "$(dirname "$0")"/*/run.sh; do
    echo "== $part"
    "$part" "$@"
done
