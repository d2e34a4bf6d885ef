#!/bin/sh
# TensorFlow Serving's own Python stubs, unmodified, against the binary, and the calls with `requests` that its documentation has. Needs
# the network once, and Python 3.10 or newer.
set -eu
here=$(dirname "$0")
root="$here/../../.."
venv=${VENV:-"$root/target/interop/tfserving"}
[ -x "$venv/bin/python" ] || python3 -m venv "$venv"
"$venv/bin/pip" install --quiet --requirement "$here/requirements.txt"
"$venv/bin/pip" install --quiet --no-deps --requirement "$here/stubs.txt"
# The error codes have moved since TensorFlow 2.11: where the stubs of today look for them, they are made of our own file.
protos="$venv/protos"
mkdir -p "$protos/xla/tsl/protobuf" "$protos/tensorflow/core/protobuf"
cp "$root/proto/tensorflow/error.proto" "$protos/xla/tsl/protobuf/error_codes.proto"
cat > "$protos/tensorflow/core/protobuf/error_codes.proto" <<'END'
syntax = "proto3";
package tensorflow.error.dummy;
import public "xla/tsl/protobuf/error_codes.proto";
END
packages=$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
"$venv/bin/python" -m grpc_tools.protoc "-I$protos" "--python_out=$packages" \
    xla/tsl/protobuf/error_codes.proto tensorflow/core/protobuf/error_codes.proto
binary=${RESNETD:-"$root/target/release/resnetd"}
[ -x "$binary" ] || (cd "$root" && cargo build --release --quiet)
PYTHONPATH="$here/.." exec "$venv/bin/python" "$here/client.py" "$binary"
