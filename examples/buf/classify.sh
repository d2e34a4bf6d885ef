#!/bin/sh
# Classifies image files over gRPC without a line of generated code: the server describes itself (reflection).
#
#     examples/buf/classify.sh MODEL FILE...
#
# RESNETD_GRPC is the server's address, 127.0.0.1:8001 by default. Needs buf (`pip install buf-bin`, `npm install @bufbuild/buf`) and jq.
set -u
[ $# -ge 2 ] || { echo "usage: classify.sh MODEL FILE..." >&2; exit 2; }
model=$1
shift
timeout_s=10
url="http://${RESNETD_GRPC:-127.0.0.1:8001}/resnetd.v1.Classifier/Classify"
failed=0
for file in "$@"; do
    # Through a pipe: an argument has no room for a photo. buf sends no deadline; the server notices that it left, and runs nothing for it.
    answer=$(base64 -w0 "$file" | jq --raw-input --arg model "$model" '{model: $model, images: [.], topK: 3}' \
        | timeout "$timeout_s" buf curl --protocol "${PROTOCOL:-grpc}" --http2-prior-knowledge --data @- "$url" 2>&1) || {
        printf '%s: %s\n' "$file" "$(printf '%s' "$answer" | jq --raw-output '"\(.message) (\(.code))"' 2>/dev/null || printf '%s' "$answer")" >&2
        failed=1
        continue
    }
    printf '%s' "$answer" | jq --raw-output --arg file "$file" \
        '[$file] + [.predictions[0].classes[] | "\(.label) \(.probability * 100 | round / 100)"] | join("  ")'
done
exit "$failed"
