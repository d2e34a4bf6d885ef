#!/bin/sh
# The programs of examples/, each as its README says, against the binary: Python, Node, a page's gRPC-Web, Go, Java, C++, C#, curl, buf. Each has to name
# every picture's class, and to say in words what is wrong with a bad one. What there is no compiler for is passed over and named. Needs the
# network once, Python 3.10 or newer, Node 20 with npm; Java 17, jq, Debian's libgrpc++-dev, protobuf-compiler-grpc, pkg-config and mono-mcs for all of it.
set -eu
here=$(dirname "$0")
root="$here/../../.."
venv=${VENV:-"$root/target/interop/clients"}
[ -x "$venv/bin/python" ] || python3 -m venv "$venv"
"$venv/bin/pip" install --quiet --requirement "$here/requirements.txt"
binary=${RESNETD:-"$root/target/release/resnetd"}
[ -x "$binary" ] || (cd "$root" && cargo build --release --quiet)
PATH="$(cd "$venv/bin" && pwd):$PATH" PYTHONPATH="$here/.." exec "$venv/bin/python" "$here/client.py" "$binary"
