#!/bin/sh
# Builds the release binary twice, in two folders, and says whether they are the same to the last byte, else where they differ.
# Takes two release builds and their disk; what is built lies in FOLDER/one and FOLDER/two (target/reproducible).
#
# Paths of the checkout, of cargo's registry and of the toolchain stand in panics and in line tables: they are named alike in both.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
folder=${1:-"$root/target/reproducible"}
mkdir -p "$folder"
folder=$(cd "$folder" && pwd)
cargo_home=${CARGO_HOME:-"$HOME/.cargo"}
sysroot=$(rustc --print sysroot)
commit=$(git -C "$root" rev-parse HEAD)

build() {
    checkout=$folder/$1/src
    rm -rf "${folder:?}/$1"
    mkdir -p "$checkout"
    # What is committed, and nothing that lies beside it.
    git -C "$root" archive "$commit" | tar -x -C "$checkout"
    (cd "$checkout" && CARGO_INCREMENTAL=0 CARGO_TARGET_DIR="$folder/$1/target" SOURCE_DATE_EPOCH=0 \
        RUSTFLAGS="--remap-path-prefix=$checkout=/resnetd --remap-path-prefix=$cargo_home=/cargo --remap-path-prefix=$sysroot=/rust --remap-path-prefix=$folder/$1/target=/target" \
        cargo build --release --locked --quiet --bin resnetd)
    cp "$folder/$1/target/release/resnetd" "$folder/$1/resnetd"
    # Only the binary is compared, and a target folder takes gigabytes.
    rm -rf "$folder/$1/target"
}

build one
build two/of/another/depth
mv "$folder/two/of/another/depth/resnetd" "$folder/two/resnetd"
sha256sum "$folder/one/resnetd" "$folder/two/resnetd"
if cmp "$folder/one/resnetd" "$folder/two/resnetd"; then
    echo "the two builds of $commit are the same ($(wc -c <"$folder/one/resnetd") bytes, $(rustc --version))"
    exit 0
fi
echo "they differ in $(cmp -l "$folder/one/resnetd" "$folder/two/resnetd" | wc -l) bytes; by section:"
for binary in one two; do
    readelf --wide --sections "$folder/$binary/resnetd" | awk '$2 ~ /^\./ || $3 ~ /^\./ { print }' >"$folder/$binary.sections"
    strings -n 8 "$folder/$binary/resnetd" | sort >"$folder/$binary.strings"
done
diff "$folder/one.sections" "$folder/two.sections" || true
echo 'text that only one of them has:'
comm -3 "$folder/one.strings" "$folder/two.strings"
exit 1
