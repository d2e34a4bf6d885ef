#!/bin/sh
# Classifies image files over HTTP: one connection, one curl.
#
#     examples/curl/classify.sh MODEL FILE...
#
# RESNETD_HTTP is the server's address, 127.0.0.1:8000 by default. Needs curl 7.76 and jq.
set -u
[ $# -ge 2 ] || { echo "usage: classify.sh MODEL FILE..." >&2; exit 2; }
model=$1
shift
timeout_s=10
url="http://${RESNETD_HTTP:-127.0.0.1:8000}/v1/models/$model:classify?top_k=3&timeout_ms=$((timeout_s * 1000))"
failed=0
for file in "$@"; do
    # The body of an error is kept as well; 408, 429 and 5xx are tried again, after Retry-After where the server sends it.
    answer=$(curl --silent --show-error --max-time "$timeout_s" --retry 3 --upload-file "$file" --request POST "$url") || { failed=1; continue; }
    printf '%s' "$answer" | jq --exit-status --raw-output --arg file "$file" '
        if .error then "\($file): \(.error) (\(.code), request \(.request_id))\n" | halt_error(1)
        else [$file] + [.predictions[0].classes[] | "\(.label) \(.probability * 100 | round / 100)"] | join("  ") end' || failed=1
done
exit "$failed"
