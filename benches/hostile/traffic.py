"""Honest and hostile traffic on a server: is everybody honest answered, how late, and where does memory go?

    python3 benches/hostile/traffic.py --binary target/release/resnetd [--seconds 60] [--turn 10] [--only ATTACK…] [--each] [--pace 1]

Starts the server with the built-in model on free ports of the loopback address, and lets it be asked by honest clients
alone and with all attacks at once, by turns. `--each` gives every attack a turn of its own instead. Exit 1 when an honest request
was not answered or the server ended. Needs Python only.
"""
import argparse
import multiprocessing
import os
import pathlib
import sys
import time

import attacks
import honest
from target import Server

# An attack and its sockets end within so many seconds after its turn.
ENDS_WITHIN_S = 15
SETTLES_WITHIN_S = 2


def main():
    arguments = parse()
    settings = [setting.split("=", 1) for setting in arguments.set]
    server = Server(arguments.binary, settings)
    print(f"{arguments.binary}: HTTP {server.http}, gRPC {server.grpc}, {server.status('VmRSS'):.0f} MB at the start")
    stop_honest, samples_of = multiprocessing.Event(), multiprocessing.Queue()
    asking = multiprocessing.Process(target=honest.main, args=(server.http, server.grpc, arguments.h2c, stop_honest, samples_of))
    asking.start()
    watch = Watch(server, samples_of)
    turns = []
    started = time.monotonic()
    try:
        for names in plan(arguments):
            turns.append(run_turn(server, watch, names, arguments))
            if not server.is_alive():
                print(f"THE SERVER ENDED with {server.process.returncode} in the turn of {turns[-1].name}")
                break
    finally:
        stop_honest.set()
        asking.join(honest.PATIENCE_S + 5)
        if asking.is_alive():
            asking.kill()
        watch.read()
    report(turns, watch, started)
    ended, seconds = server.stop()
    print(f"SIGTERM: exit status {ended} after {seconds:.1f} s")
    print("log:", *(f"  {count:6} x {level} {message}" for (level, message), count in server.messages.items()), sep="\n")
    failed = any(sample.failure for sample in watch.samples)
    sys.exit(1 if failed or ended != 0 else 0)


def parse():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--binary", default="target/release/resnetd")
    parser.add_argument("--seconds", type=float, default=60, help="the whole run without start and end")
    parser.add_argument("--turn", type=float, default=10, help="seconds of one turn")
    parser.add_argument("--only", nargs="+", choices=list(attacks.ALL), default=list(attacks.ALL), metavar="ATTACK", help=", ".join(attacks.ALL))
    parser.add_argument("--pace", type=float, default=1, help="the attackers' pauses times this: 2 is half the malice")
    parser.add_argument("--each", action="store_true", help="a turn for each attack alone, and one without any before them")
    parser.add_argument("--h2c", action="store_true", help="honest HTTP/2 at the HTTP door as well")
    parser.add_argument("--set", nargs="*", default=[], metavar="RESNETD__A__B=C", help="settings of the server")
    return parser.parse_args()


def plan(arguments):
    """The attacks of each turn."""
    if arguments.each:
        return [[]] + [[name] for name in arguments.only]
    count = max(2, round(arguments.seconds / arguments.turn))
    return [arguments.only if turn % 2 else [] for turn in range(count)]


class Turn:
    def __init__(self, names, start):
        self.names, self.start, self.end, self.counts = names, start, start, {}

    @property
    def name(self):
        return {0: "honest alone", 1: self.names[0] if self.names else ""}.get(len(self.names), "honest and hostile")


class Watch:
    """What the honest clients saw, and the server's memory, second by second."""

    def __init__(self, server, queue):
        self.server, self.queue, self.samples, self.memory = server, queue, [], []

    def read(self):
        while not self.queue.empty():
            if (sample := self.queue.get()) is not None:
                self.samples.append(sample)
        if self.server.is_alive():
            self.memory.append((time.monotonic(), self.server.status("VmRSS"), self.server.status("Threads"), self.server.open_files()))

    def until(self, end):
        while time.monotonic() < end and self.server.is_alive():
            self.read()
            time.sleep(min(1, max(0, end - time.monotonic())))


def run_turn(server, watch, names, arguments):
    turn = Turn(names, time.monotonic())
    stop, results = multiprocessing.Event(), multiprocessing.Queue()
    processes = [multiprocessing.Process(target=attack, args=(name, server.http, server.grpc, stop, arguments.pace, results)) for name in names]
    for process in processes:
        process.start()
    watch.until(turn.start + arguments.turn)
    turn.end = time.monotonic()
    stop.set()
    deadline = time.monotonic() + ENDS_WITHIN_S
    for process in processes:
        process.join(max(0.1, deadline - time.monotonic()))
        if process.is_alive():
            process.kill()
    while not results.empty():
        name, counts = results.get()
        turn.counts[name] = counts
    # What the attackers left behind is not the next turn's.
    watch.until(time.monotonic() + (SETTLES_WITHIN_S if names else 0))
    return turn


def attack(*arguments):
    # The processor is the server's and the honest clients' first: what attackers spend on themselves is no attack. Twenty
    # processes of the lowest niceness would still make everybody wait for their slices.
    os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    attacks.main(*arguments)


def percentile(sorted_values, share):
    return sorted_values[min(len(sorted_values) - 1, int(len(sorted_values) * share))] if sorted_values else float("nan")


def row(name, samples):
    times = sorted(sample.seconds * 1e3 for sample in samples)
    failed = [sample for sample in samples if sample.failure]
    print(f"  {name:22} {len(samples) - len(failed):7} {len(failed):7} {percentile(times, 0.5):9.2f} {percentile(times, 0.99):9.2f} {times[-1] if times else 0:9.1f}")


def report(turns, watch, started):
    groups = {}
    for turn in turns:
        groups.setdefault(turn.name, []).append(turn)
    print(f"\n  {'':22} answered  failed  p50 (ms)  p99 (ms)   max (ms)")
    tails = {}
    for name, group in groups.items():
        inside = [sample for sample in watch.samples if any(turn.start <= sample.at < turn.end for turn in group)]
        print(f"{name} ({len(group)} turns)")
        for client in sorted({sample.client for sample in inside}):
            row(client, [sample for sample in inside if sample.client == client])
        row("all", inside)
        tails[name] = percentile(sorted(sample.seconds for sample in inside), 0.99)
    alone = tails.pop("honest alone", None)
    for name, tail in tails.items():
        print(f"p99 of the honest, {name}: {tail / alone:.2f} times that alone" if alone else f"p99 {name}: {tail * 1e3:.1f} ms")
    failures = {}
    for sample in watch.samples:
        if sample.failure:
            key = f"{sample.client}: {sample.failure[:90]}"
            failures[key] = failures.get(key, 0) + 1
    if failures:
        print("failures:", *(f"  {count:6} x {key}" for key, count in sorted(failures.items(), key=lambda item: -item[1])[:20]), sep="\n")
    counts = {}
    for turn in turns:
        for name, counted in turn.counts.items():
            for what, number in counted.items():
                counts[name, what] = counts.get((name, what), 0) + number
    if counts:
        print("attacks:", *(f"  {name}: {what}: {number}" for (name, what), number in sorted(counts.items())), sep="\n")
    memory_report(watch.memory, started)


def memory_report(memory, started):
    if len(memory) < 8:
        return
    eighth = len(memory) // 8
    parts = [memory[index * eighth:(index + 1) * eighth] for index in range(8)]
    print("memory by eighths of the run, MB (mean, highest):", *(
        f"{sum(point[1] for point in part) / len(part):.0f}, {max(point[1] for point in part):.0f};" for part in parts))
    first, second = max(p[1] for part in parts[:4] for p in part), max(p[1] for part in parts[4:] for p in part)
    verdict = "flat" if second <= first * 1.05 + 8 else "GROWING"
    print(f"highest in the first half {first:.0f} MB, in the second {second:.0f} MB: {verdict}; at the end {memory[-1][1]:.0f} MB, "
          f"{memory[-1][2]:.0f} threads, {memory[-1][3]} open files")


if __name__ == "__main__":
    sys.path.insert(0, str(pathlib.Path(__file__).parent))
    main()
