"""What tracing costs those who are not recorded: a server that records 1 % of its requests beside one without tracing, by turns.

    python3 benches/tracing/tracing.py --binary target/release/resnetd [--turns 8] [--seconds 4] [--ratio 0.01] [--away]

Both are the same binary with the built-in model, started anew for every turn, loaded by 16 connections of `resnetd bench` one after the
other, in an order that alternates. The collector is a small HTTP server of this script, or with `--away` nobody. For each turn it prints
requests a second and the server's processor time for one, and at the end the medians of the turns' ratios: with tracing over without.
Needs Python and Linux; asks 127.0.0.1 only.
"""
import argparse
import http.server
import pathlib
import re
import sys
import threading

BENCHES = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(BENCHES / "hostile"), str(BENCHES / "support")]
import turns  # noqa: E402
from target import Server  # noqa: E402


class Collector(http.server.BaseHTTPRequestHandler):
    """Takes what comes."""
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


def spans(server):
    counts = re.findall(r'resnetd_spans_total\{outcome="(\w+)"\} (\d+)', turns.metrics(server))
    return {outcome: int(count) for outcome, count in counts if count != "0"}


def turn(binary, settings, seconds):
    """Requests a second, processor seconds of one, and what became of spans."""
    server = Server(binary, {"RESNETD__RUNTIME__PROVIDER": "cpu", **settings})
    try:
        return *turns.turn(server, binary, seconds), spans(server)
    finally:
        server.stop()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--binary", default="target/release/resnetd")
    parser.add_argument("--turns", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--ratio", type=float, default=0.01)
    parser.add_argument("--away", action="store_true", help="no collector listens")
    arguments = parser.parse_args()
    collector = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Collector)
    endpoint = "http://127.0.0.1:{}".format(collector.server_address[1])
    if arguments.away:
        collector.server_close()
    else:
        threading.Thread(target=collector.serve_forever, daemon=True).start()
    tracing = {
        "RESNETD__TRACING__ENDPOINT": endpoint,
        "RESNETD__TRACING__PROTOCOL": "http",
        "RESNETD__TRACING__SAMPLE_RATIO": str(arguments.ratio),
    }
    ratios = []
    for number in range(arguments.turns):
        figures = {}
        order = [("without", {}), ("with", tracing)]
        for name, settings in order if number % 2 == 0 else reversed(order):
            figures[name] = turn(arguments.binary, settings, arguments.seconds)
            rate, cost, told = figures[name]
            print(f"{name:>8}: {rate:7.0f} requests/s, {1e6 * cost:6.1f} us of processor each {told}", flush=True)
        ratios.append([figures["with"][index] / figures["without"][index] for index in (0, 1)])
    for index, name in enumerate(("requests a second", "processor time")):
        turns.tell(f"{name}: with over without", [ratio[index] for ratio in ratios])


main()
