"""What is measured. Each case gives rows of the report and plots; it says what it takes, and what is wanted."""
import dataclasses
import json
import pathlib
import re
import subprocess
import sys
import time

import plot
from lab import ROOT, median

BUILT_IN = "resnet20-cifar10"


@dataclasses.dataclass
class Subject:
    name: str
    folder: pathlib.Path
    images: list

    @classmethod
    def built_in(cls):
        fixtures = ROOT / "tests/fixtures/cifar10"
        return cls(BUILT_IN, ROOT / "models" / BUILT_IN, sorted(fixtures.glob("*.jpg")))

    @classmethod
    def of(cls, folder, image):
        folder = folder.resolve()
        return cls(folder.name, folder, [image.resolve()])

    @property
    def is_tiny(self):
        return self.name == BUILT_IN

    @property
    def graph(self):
        return max(self.folder.glob("*/model.onnx"), key=lambda graph: int(graph.parent.name))


@dataclasses.dataclass
class Row:
    what: str
    measured: str
    wanted: str
    note: str = ""


def case(needs_cargo=False, takes=lambda subject: True):
    def mark(function):
        function.needs_cargo, function.takes = needs_cargo, takes
        return function

    return mark


def serve_bench(lab, subject, *arguments):
    """`benches/serve`: the server and the bare loop by turns."""
    file = lab.output / f"serve-{subject.name}{''.join(str(part) for part in arguments)}.json"
    rounds = ["--rounds", 3 if lab.quick else 7, "--seconds", 1 if lab.quick else 3]
    own = [] if subject.is_tiny else ["--model", subject.folder, *(part for image in subject.images for part in ("--image", image))]
    command = ["cargo", "bench", "--locked", "--quiet", "--bench", "serve", "--", "--json", file, *rounds, *own, *arguments]
    subprocess.run([str(part) for part in command], cwd=ROOT, check=True, capture_output=True, text=True)
    return json.loads(file.read_text())


@case(needs_cargo=True)
def ceiling(lab, subject):
    rows = []
    for door, arguments in (("HTTP", []), ("gRPC", ["--grpc"])):
        told = serve_bench(lab, subject, *arguments)
        wanted = "0.94" if subject.is_tiny else "0.97" if "50" in subject.name else "0.95"
        note = f"{median([r['served'] for r in told['rounds']]):.0f} of {median([r['bare'] for r in told['rounds']]):.0f} images/s; by processor time {told['median_cpu_ratio']:.3f}"
        if told["bare_share"] < 0.95:
            note += f"; other work was there: the bare loop ran {told['bare_share']:.0%} of the time"
        rows.append(Row(f"`{subject.name}`, {door}, 16 connections: served / (session + preprocessing alone)", f"{told['median_ratio']:.3f}", f"at least {wanted}", note))
    return rows, []


@case(needs_cargo=True)
def one_at_a_time(lab, subject):
    told = serve_bench(lab, subject, "--alone")
    wanted = "1.1" if subject.is_tiny else "1.03"
    note = f"{told['served_p50_ms']:.3f} of {told['bare_p50_ms']:.3f} ms, the quickest with {told['bare_threads']} threads a run"
    return [Row(f"`{subject.name}`, one request at a time, p50: served / (quickest session + preprocessing alone)", f"{told['p50_ratio']:.3f}", f"at most {wanted}", note)], []


def overloaded(lab, server, subject, capacity, *arguments):
    seconds = 5 if lab.quick else 30
    return lab.load(server, subject, "--rate", f"{2 * capacity:.3f}", "--warmup", 2, "--duration", seconds, "--max-outstanding", 20000, *arguments)[0]


def lateness(run):
    """What makes the generator part of the figure, if anything."""
    lag = run.get("send_lag_ms")
    return f"; the generator was late by {lag['p99']:.1f} ms (p99)" if lag and lag["p99"] > 1 else ""


@case()
def overload_with_deadlines(lab, subject):
    server = lab.serve(subject)
    try:
        idle = lab.idle(server, subject)["latency_ms"]["p50"]
        before = lab.capacity(server, subject)
        deadline = max(1, round(5 * idle))
        run = overloaded(lab, server, subject, before, "--timeout-ms", deadline)
        capacity = median([before, lab.capacity(server, subject)])
    finally:
        server.stop()
    goodput, latency, refusal = run["goodput_per_second"] / capacity, run["latency_ms"], run["refusal_ms"]
    head = f"`{subject.name}`, open loop at 2x the capacity, deadline 5x the idle latency ({deadline} ms): "
    counts = f"{run['requests']} requests: {run['in_deadline']} in time, {run['refused']} refused, {run['expired']} expired"
    rows = [Row(head + "goodput / capacity", f"{goodput:.3f}", "at least 0.95", counts + lateness(run)),
            Row(head + "p99 of the answered / deadline", f"{latency['p99'] / deadline:.3f}" if latency else "-", "at most 1.0", f"p50 {latency['p50']:.1f} ms" if latency else ""),
            Row(head + "a refusal takes", f"{refusal['p50']:.2f} ms" if refusal else "-", "at most 5 ms", f"p50; p99 {refusal['p99']:.2f} ms" if refusal else "nothing was refused")]
    name = f"overload-{subject.name}.svg"
    series = [("answered, p50", [(at["at_s"], at["p50_ms"]) for at in run["over_time"]]), ("answered, p99", [(at["at_s"], at["p99_ms"]) for at in run["over_time"]])]
    plot.lines(lab.output / name, series, "seconds", "milliseconds", mark=("deadline", deadline))
    return rows, [(name, f"{subject.name}: latency under twice the capacity, deadlines of {deadline} ms")]


@case()
def overload_without_deadlines(lab, subject):
    probe = lab.serve(subject)
    try:
        idle = lab.idle(probe, subject)
        # Without a target: clients that are refused and ask again at once would be measured beside it.
        capacity = lab.capacity(probe, subject)
    finally:
        probe.stop()
    inference = idle["server_ms"]["inference"]["p50"]
    target = max(5, round(3 * inference))
    server = lab.serve(subject, RESNETD__LIMITS__TARGET_QUEUE_MS=str(target))
    try:
        run = overloaded(lab, server, subject, capacity)
    finally:
        server.stop()
    own = run["server_ms"]["inference"]["p50"] if run["server_ms"] else inference
    limit, p99 = 2 * target + own, run["latency_ms"]["p99"] if run["latency_ms"] else float("nan")
    what = f"`{subject.name}`, the same without deadlines, `target_queue_ms = {target}`: p99 of the answered / (2 x target + inference)"
    note = f"{p99:.1f} of {limit:.1f} ms; {run['requests_per_second'] / capacity:.3f} of the capacity, {run['refused']} of {run['requests']} refused"
    return [Row(what, f"{p99 / limit:.3f}", "at most 1.0", note + lateness(run))], []


@case()
def one_greedy_client(lab, subject):
    """Nine clients, and a tenth that sends as much as all of them; together nine tenths of the capacity."""
    fair = {"RESNETD__LIMITS__FAIR_BY": "header:x-tenant"}
    try:
        server, how = lab.serve(subject, **fair), "`fair_by = \"header:x-tenant\"`"
    except SystemExit:  # A binary that does not know the setting.
        server, how = lab.serve(subject), "without `fair_by`, which this binary does not know"
    seconds = 4 if lab.quick else 15
    try:
        capacity = lab.capacity(server, subject)
        half = 0.45 * capacity

        def client(name, rate, seed):
            return lab.begin(server, subject, "--rate", f"{rate:.3f}", "--seed", seed, "--warmup", 1, "--duration", seconds, "--header", f"x-tenant: {name}")

        def nine():
            return [client(f"client-{place}", half / 9, place + 1) for place in range(9)]

        ratios, both = [], []
        for _ in range(lab.rounds):
            quiet = [run[0]["latency_ms"]["p99"] for run in map(lab.end, nine())]
            tenth, others = client("greedy", half, 99), nine()
            crowded = [run[0]["latency_ms"]["p99"] for run in map(lab.end, others)]
            lab.end(tenth)
            both.append((median(quiet), median(crowded)))
            ratios.append(median(crowded) / median(quiet))
    finally:
        server.stop()
    alone, beside = both[-1]
    return [Row(f"`{subject.name}`, one client of ten sends half of the load: p99 of the nine others / theirs without it", f"{median(ratios):.2f}", "at most 1.3",
                f"{how}; medians of nine clients, {beside:.1f} after {alone:.1f} ms in the last round")], []


@case()
def five_models(lab, subject):
    ratios, own = [], []
    one, five = lab.serve(subject), lab.serve(subject, copies=5)
    try:
        lab.capacity(one, subject), lab.capacity(five, subject)
        for _ in range(2 * lab.rounds + 1):
            alone, beside = lab.capacity(one, subject), lab.capacity(five, subject)
            own.append(alone)
            ratios.append(beside / alone)
    finally:
        one.stop()
        five.stop()
    return [Row(f"`{subject.name}`, five models loaded, traffic on one: throughput / that model alone", f"{median(ratios):.3f}", "at least 0.98", f"alone {median(own):.0f} images/s")], []


@case()
def start_and_memory(lab, subject):
    lab.serve(subject).stop()  # Now it is measured.
    times, memory = [], []
    for _ in range(2 * lab.rounds + 1):
        begun = time.monotonic()
        server = lab.serve(subject)
        times.append(time.monotonic() - begun)
        lab.load(server, subject, "--connections", 4, "--warmup", 0, "--requests", 40)
        memory.append(server.memory())
        server.stop()
    size = subject.graph.stat().st_size / 2**20
    rows = [Row(f"`{subject.name}`, start to ready, measured before", f"{median(times):.2f} s", "at most 1.0 s" if not subject.is_tiny else "-", f"median of {len(times)}")]
    ratio = median(memory) / size
    # Beside a file of a megabyte everything else counts.
    rows.append(Row(f"`{subject.name}`, resident memory / model file", f"{ratio:.2f}" if not subject.is_tiny else f"{median(memory):.0f} MiB", "at most 2.0" if not subject.is_tiny else "-",
                    f"{median(memory):.0f} of {size:.1f} MiB, each page counted once (Pss)"))
    return rows, []


@case()
def curve(lab, subject):
    """No row: how latency and throughput go with what is offered."""
    server = lab.serve(subject)
    try:
        capacity = lab.capacity(server, subject)
        shares = [0.5, 0.8, 0.95, 1.2] if lab.quick else [0.2, 0.4, 0.6, 0.7, 0.8, 0.9, 0.95, 1.0, 1.2, 1.5]
        rates = ",".join(f"{share * capacity:.3f}" for share in shares)
        page = lab.output / f"curve-{subject.name}.html"
        runs = lab.load(server, subject, "--rate", rates, "--warmup", 0.5, "--duration", 2 if lab.quick else 4, "--timeout-ms", 1000, "--report", page)
    finally:
        server.stop()
    of = lambda key: [(run["rate"], run["latency_ms"] and run["latency_ms"][key]) for run in runs]
    latency, answers = f"latency-{subject.name}.svg", f"throughput-{subject.name}.svg"
    plot.lines(lab.output / latency, [("p50", of("p50")), ("p99", of("p99")), ("max", of("max"))], "requests a second offered", "milliseconds", mark=None)
    plot.lines(lab.output / answers, [("offered", [(run["rate"], run["offered_per_second"]) for run in runs]), ("answered", [(run["rate"], run["requests_per_second"]) for run in runs]),
                                      ("in 1 s", [(run["rate"], run["goodput_per_second"]) for run in runs])], "requests a second offered", "requests a second", mark=("capacity", capacity))
    return [], [(latency, f"{subject.name}: latency over the offered rate (deadline 1 s)"), (answers, f"{subject.name}: throughput over the offered rate")]


@case(takes=lambda subject: subject.is_tiny)
def preprocessing(lab, subject):
    script = ROOT / "benches/preprocess_vs_pillow.py"
    rows = []
    for what, of, wanted in (("a 500x375 JPEG", [], {"resnetd": "3.5"}), ("a phone photo of 12 megapixels", ["phone"], {"resnetd": "2.5", "resnetd, fast": "8"})):
        done = subprocess.run([sys.executable, str(script), *of], capture_output=True, text=True)
        found = dict(re.findall(r"^(resnetd(?:, fast)?) +median .*?([\d.]+) times as fast as Pillow", done.stdout, re.M))
        for way, least in wanted.items():
            how = '`decode = "fast"`' if "fast" in way else "equal bit for bit"
            head = f"preprocessing of {what}, {how}: images a second a core / Pillow + NumPy"
            note = done.stdout.splitlines()[0] if way in found else f"not measured; needs Pillow and NumPy, and `cargo build --release --example preprocess_loop`: {done.stderr.strip()[-200:]}"
            rows.append(Row(head, found.get(way, "-"), f"at least {least}", note))
    return rows, []


ALL = [ceiling, preprocessing, one_at_a_time, overload_with_deadlines, overload_without_deadlines, one_greedy_client, five_models, start_and_memory, curve]
