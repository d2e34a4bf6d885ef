#!/bin/sh
# Round trip with the real libraries: a fresh random model of each architecture, saved by each library in its own format,
# built by `resnetd build`, must give equal logits in ONNX Runtime.
#
#   tests/interop/weights/run.sh [RESNETD]      default: target/debug/resnetd
#
# Needs the network once, 6 GB of disk for PyTorch and its CUDA libraries, and Python 3.10 or 3.11 (PYTHON=python3.11).
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../../.." && pwd)
resnetd=${1:-$root/target/debug/resnetd}
work=$root/target/interop
python=${PYTHON:-python3}

[ -x "$resnetd" ] || { echo "$resnetd is not there; build it first: cargo build" >&2; exit 1; }

venv() {
    [ -x "$work/$1/bin/python" ] || "$python" -m venv "$work/$1"
    "$work/$1/bin/pip" install --quiet --disable-pip-version-check --requirement "$here/$2"
}
mkdir -p "$work"
venv venv requirements.txt
venv venv-chainer requirements-chainer.txt
# Its setup.py needs what is installed, and its metadata names more than it uses.
"$work/venv-chainer/bin/pip" install --quiet --disable-pip-version-check --no-deps --no-build-isolation chainer==7.8.1

files=$(mktemp -d "$work/files.XXXXXX")
trap 'rm -rf "$files"' EXIT
"$work/venv/bin/python" "$here/save_pytorch.py" "$files"
"$work/venv/bin/python" "$here/save_forms.py" "$files"
"$work/venv/bin/python" "$here/save_keras.py" "$files"
"$work/venv-chainer/bin/python" "$here/save_chainer.py" "$files"
"$work/venv/bin/python" "$here/compare.py" "$files" "$resnetd"
