"""Scrapes a server under load with a real Prometheus, and runs every query of deploy/grafana and deploy/prometheus on what it found.

    python3 tests/interop/prometheus/observe.py BINARY [--seconds 30] [--plots DIR]

The server has two models, a cascade between them, a cache and tracing to a collector of this script; the load comes over HTTP and gRPC, in
a part of the time more than it can do, with broken pictures and unknown models among it. Each query has to give at least one series with
a number, each rule has to evaluate, and a scrape has to bring exemplars. Everything listens on 127.0.0.1.
"""
import argparse
import contextlib
import http.client
import http.server
import json
import math
import os
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.parse
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[3]
BUILT_IN = ROOT / "models/resnet20-cifar10"
DASHBOARDS = sorted((ROOT / "deploy/grafana").glob("*.json"))
RULES = ROOT / "deploy/prometheus/resnetd.rules.yml"
READY_WITHIN_S = 120
# What this load does not bring about: nothing is loaded on demand.
RARE = ("resnetd_model_evictions_total",)
# What Grafana puts in.
VARIABLES = {"$__rate_interval": "10s", "$job": "resnetd", "$instance": ".*", "$model": ".*"}


class Collector(http.server.BaseHTTPRequestHandler):
    """Takes traces."""
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def wait_for(url, process):
    end = time.monotonic() + READY_WITHIN_S
    while True:
        with contextlib.suppress(OSError):
            if urllib.request.urlopen(url).status == 200:
                return
        if process.poll() is not None or time.monotonic() > end:
            sys.exit(f"{url} does not answer")
        time.sleep(0.1)


@contextlib.contextmanager
def running(command, url, **options):
    process = subprocess.Popen(command, **options)
    try:
        wait_for(url, process)
        yield process
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def repository(folder):
    for name in ("net", "second"):
        shutil.copytree(BUILT_IN, folder / name)
    with open(folder / "second/model.toml", "a") as settings:
        settings.write('\n[cascade]\nfirst = "net"\nthreshold = 0.9\n')
    (folder / "broken/1").mkdir(parents=True)
    (folder / "broken/1/model.onnx").write_bytes(b"no graph")


def load(binary, http_port, grpc_port, seconds):
    """A third of the time as much as there is room for, a third of it more, a third of it by the way."""
    def bench(*arguments):
        # What it says of refusals is meant.
        return subprocess.Popen([binary, "bench", "--warmup", "0", *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    url, grpc, third = f"http://127.0.0.1:{http_port}", f"http://127.0.0.1:{grpc_port}", str(max(seconds / 3, 1))
    # Some requests are recorded because their callers say so.
    traced = ["--header", "traceparent:00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"]
    phases = [
        [["--url", url, "--model", "net", "--rate", "60", *traced], ["--url", grpc, "--protocol", "grpc", "--model", "second", "--rate", "30"]],
        [["--url", url, "--model", "net", "--connections", "200", "--timeout-ms", "20"]],
        [["--url", url, "--model", "second", "--connections", "4"], ["--url", grpc, "--protocol", "grpc", "--model", "net", "--connections", "2"]],
    ]
    for phase in phases:
        loads = [bench(*arguments, "--duration", third) for arguments in phase]
        while any(process.poll() is None for process in loads):
            connection = http.client.HTTPConnection("127.0.0.1", http_port, timeout=60)
            # `bench` sends one picture, which is cached after its first run; this one is never the same.
            new = b"P6 32 32 255\n" + os.urandom(3 * 32 * 32)
            for path, body in (("/v1/models/net:classify", new), ("/v1/models/net:classify", b"no picture"), ("/v1/models/none:classify", b"x")):
                connection.request("POST", path, body=body)
                connection.getresponse().read()
            connection.close()
            time.sleep(0.2)


class Prometheus:
    def __init__(self, port):
        self.port = port

    def get(self, path, **parameters):
        url = f"http://127.0.0.1:{self.port}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        try:
            answer = json.load(urllib.request.urlopen(url))
        except urllib.error.HTTPError as error:
            answer = json.load(error)
        if answer["status"] != "success":
            raise ValueError(f"{parameters}: {answer.get('error')}")
        return answer["data"]

    def series(self, expression, begin, end):
        """The series of a query over time that have a number: labels → [(time, value)]."""
        result = self.get("query_range", query=expression, start=begin, end=end, step=1)["result"]
        numbers = lambda values: [(at, float(value)) for at, value in values if math.isfinite(float(value))]
        found = [(series["metric"], numbers(series["values"])) for series in result]
        return [(labels, values) for labels, values in found if values]


def substituted(expression):
    for name, value in VARIABLES.items():
        expression = expression.replace(name, value)
    assert "$" not in expression, expression
    return expression


def panels():
    """Every panel of the dashboards: title, kind, [(query, legend)]."""
    for dashboard in DASHBOARDS:
        document = json.loads(dashboard.read_text())
        for note in document["annotations"]["list"]:
            yield f"annotation {note['name']}", "annotation", [(substituted(note["expr"]), note["name"])]
        for panel in document["panels"]:
            if panel["type"] != "row":
                queries = [(substituted(target["expr"]), target["legendFormat"]) for target in panel["targets"]]
                yield panel["title"], panel["type"], queries


def draw(drawn, folder):
    import matplotlib
    matplotlib.use("Agg")
    import matplotlib.pyplot as plot

    folder.mkdir(parents=True, exist_ok=True)
    columns = 4
    figure, axes = plot.subplots(math.ceil(len(drawn) / columns), columns, figsize=(5 * columns, 3 * math.ceil(len(drawn) / columns)))
    for axis, (title, series) in zip(axes.flat, drawn):
        begin = min(values[0][0] for _, values in series)
        for legend, values in series[:12]:
            axis.plot([at - begin for at, _ in values], [value for _, value in values], label=legend, linewidth=1)
        axis.set_title(title, fontsize=9)
        axis.tick_params(labelsize=7)
        axis.set_ylim(bottom=0)
        axis.legend(fontsize=6)
    for axis in axes.flat[len(drawn):]:
        axis.axis("off")
    figure.tight_layout()
    figure.savefig(folder / "panels.png", dpi=70)
    print(f"drawn: {folder / 'panels.png'}")


def check(prometheus, begin, end, plots):
    failures, drawn, queries = [], [], 0
    for title, kind, of_panel in panels():
        of_all = []
        for expression, legend in of_panel:
            queries += 1
            try:
                series = prometheus.series(expression, begin, end)
            except ValueError as error:
                failures.append(f"{title}: {error}")
                continue
            if not series and kind != "annotation" and not any(metric in expression for metric in RARE):
                failures.append(f"{title}: nothing has {expression}")
            # What is refused before its model is known has none, and Prometheus keeps no empty label.
            unknown = {label for label in re.findall(r"\{\{\s*(\w+)\s*\}\}", legend or "") if series and not any(label in labels for labels, _ in series)}
            assert not unknown, f"{title}: {legend} names labels that no series has: {unknown}"
            for labels, values in series:
                name = re.sub(r"\{\{\s*(\w+)\s*\}\}", lambda match: labels.get(match[1], "none"), legend or title)
                of_all.append((name, values))
        if of_all:
            drawn.append((title, of_all))
    rules = [rule for group in prometheus.get("rules")["groups"] for rule in group["rules"]]
    for rule in rules:
        if rule["health"] != "ok":
            failures.append(f"rule {rule['name']}: {rule['health']} {rule.get('lastError')}")
    exemplars = prometheus.get("query_exemplars", query="resnetd_request_duration_seconds_bucket", start=begin, end=end)
    traces = {exemplar["labels"]["trace_id"] for series in exemplars for exemplar in series["exemplars"]}
    if not traces or not all(re.fullmatch("[0-9a-f]{32}", trace) for trace in traces):
        failures.append(f"no exemplars: {traces}")
    print(f"{queries} queries, {len(rules)} rules, {sum(rule['state'] != 'inactive' for rule in rules)} of them pending or firing, {len(traces)} traces as exemplars")
    if plots:
        draw(drawn, plots)
    if failures:
        sys.exit("\n".join(failures))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("binary")
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--plots", type=pathlib.Path)
    arguments = parser.parse_args()
    collector = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Collector)
    threading.Thread(target=collector.serve_forever, daemon=True).start()
    http_port, grpc_port, own_port = free_port(), free_port(), free_port()
    settings = {
        "RESNETD__RUNTIME__TUNE": "false",
        "RESNETD__BATCHING__QUEUE_CAPACITY": "64",
        "RESNETD__CACHE__MAX_BYTES": "4096",
        "RESNETD__CACHE__SINGLE_FLIGHT": "true",
        "RESNETD__TRACING__ENDPOINT": "http://127.0.0.1:{}".format(collector.server_address[1]),
        "RESNETD__TRACING__PROTOCOL": "http",
        "RESNETD__TRACING__SAMPLE_RATIO": "0.05",
        "RESNETD__SERVER__DRAIN_DELAY_MS": "0",
    }
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        repository(folder / "models")
        command = [arguments.binary, "serve", "--models", str(folder / "models"), "--http", f"127.0.0.1:{http_port}", "--grpc", f"127.0.0.1:{grpc_port}"]
        configuration = {
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": [str(RULES)],
            "scrape_configs": [{"job_name": "resnetd", "static_configs": [{"targets": [f"127.0.0.1:{http_port}"]}]}],
        }
        # JSON is YAML.
        (folder / "prometheus.yml").write_text(json.dumps(configuration))
        observer = [
            "prometheus", f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data", f"--web.listen-address=127.0.0.1:{own_port}",
            "--enable-feature=exemplar-storage", "--log.level=warn",
        ]
        log = open(folder / "server.log", "w")
        with running(command, f"http://127.0.0.1:{http_port}/readyz", env={**os.environ, **settings}, stderr=log):
            with running(observer, f"http://127.0.0.1:{own_port}/-/ready"):
                begin = time.time()
                load(arguments.binary, http_port, grpc_port, arguments.seconds)
                # One scrape after the last request.
                time.sleep(2)
                check(Prometheus(own_port), begin, time.time(), arguments.plots)
    print("every query of the dashboards answers")


main()
