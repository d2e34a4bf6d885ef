#!/bin/sh
# Makes clients of the API description (openapi-generator: Python, Go, TypeScript) and of the .proto files (buf: JavaScript), and lets each
# classify pictures: clients.sh BINARY VENV. Needs Java 11, Node.js 20 and npm, and the network once.
set -eu
binary=$1 venv=$2
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../../.." && pwd)
work=${WORK:-"$root/target/interop/openapi-clients"}
"$venv/bin/pip" install --quiet --requirement "$here/clients.txt"
PATH="$venv/bin:$PATH"
export GOFLAGS=-mod=mod GOTOOLCHAIN=local
mkdir -p "$work"
"$binary" openapi >"$work/openapi.json"

# The TypeScript generator imports models that only forms have, and makes them only where it is told to.
generate() {
    rm -rf "${work:?}/$1"
    openapi-generator-cli generate --global-property skipFormModel=false --input-spec "$work/openapi.json" --generator-name "$1" --output "$work/$1" "$2" >"$work/$1.log" 2>&1 ||
        { tail -20 "$work/$1.log" >&2; exit 1; }
}

generate python --additional-properties=packageName=resnetd_client
cp "$here/clients/classify.py" "$work/python/"

# The generated code asks one module of another host to look at its own constraints, none of which this description has: a stand-in is enough.
generate go --additional-properties=packageName=client,withGoMod=false,generateInterfaces=false
rm -rf "$work/go/test"
cp -R "$here/clients/go/." "$work/go/"
(cd "$work/go" && go build -o classify ./cmd)

generate typescript-fetch --additional-properties=supportsES6=true
cp "$here/clients/typescript/"* "$work/typescript-fetch/"
(cd "$work/typescript-fetch" && npm install --silent --no-audit --no-fund && npx tsc --project tsconfig.json)

rm -rf "$work/buf" && mkdir "$work/buf"
cp "$here/clients/buf/"* "$work/buf/"
(cd "$work/buf" && npm install --silent --no-audit --no-fund && PATH="$PWD/node_modules/.bin:$PATH" buf generate "$root/proto")

exec "$venv/bin/python" "$here/clients.py" "$binary" "$work"
