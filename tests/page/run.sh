#!/bin/sh
# The page, driven in Chromium as people use it. Needs Debian's chromium (or CHROMIUM=PATH), Python 3.11 or newer with pip, and npm for
# axe-core, which is fetched once and is no part of the binary. What cannot be had is passed over with a line that begins with SKIPPED.
#
# RESNETD=PATH: the binary, else the debug build. FILES=1: the page's files from the working tree, not from the binary. Arguments: parts of
# names of tests. Pictures of the page come to target/page/.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
browser=${CHROMIUM:-$(command -v chromium || command -v chromium-browser || true)}
if [ -z "$browser" ]; then
    echo 'SKIPPED the page: chromium is not installed (apt-get install chromium)'
    exit 0
fi
out="$root/target/page"
mkdir -p "$out"
venv="$out/venv"
[ -x "$venv/bin/python" ] || python3 -m venv "$venv"
"$venv/bin/pip" install --quiet --disable-pip-version-check --require-hashes --requirement "$here/requirements.txt"
axe="$out/package/axe.min.js"
if [ ! -f "$axe" ] && command -v npm >/dev/null; then
    (cd "$out" && npm pack --silent "axe-core@4.10.3" >/dev/null \
        && echo '0f2b4d7dcdf7d1219df8d1959ad68e565f51d14c3f0d88bb71cd59abeb956292  axe-core-4.10.3.tgz' | sha256sum --check --quiet - \
        && tar xzf axe-core-4.10.3.tgz package/axe.min.js)
fi
[ -f "$axe" ] || { axe=''; echo 'SKIPPED axe: npm is not installed'; }
binary=${RESNETD:-"$root/target/debug/resnetd"}
[ -x "$binary" ] || (cd "$root" && cargo build --quiet --locked)
CHROMIUM="$browser" AXE="$axe" OUT="$out" RESNETD=$(realpath "$binary") "$venv/bin/python" "$here/page.py" "$@"
