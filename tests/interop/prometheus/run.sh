#!/bin/sh
# Debian's Prometheus against the binary: the rules by promtool, then every query of the dashboard and of the rules over a scrape of a
# real server under load. Needs Python 3 and `apt-get install prometheus`; where that is not, it says so and checks nothing.
# ARGS: --seconds N, --plots DIR (needs matplotlib) draws each panel.
set -eu
here=$(dirname "$0")
root="$here/../../.."
if ! command -v prometheus >/dev/null || ! command -v promtool >/dev/null; then
    echo "SKIPPED: prometheus and promtool are not installed (apt-get install prometheus)"
    exit 0
fi
promtool check rules "$root/deploy/prometheus/resnetd.rules.yml"
promtool check config "$root/deploy/prometheus/prometheus.yml"
promtool test rules "$root/deploy/prometheus/resnetd.rules.test.yml"
binary=${RESNETD:-"$root/target/release/resnetd"}
[ -x "$binary" ] || (cd "$root" && cargo build --release --quiet)
exec python3 "$here/observe.py" "$binary" "$@"
