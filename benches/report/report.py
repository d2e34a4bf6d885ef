#!/usr/bin/env python3
"""All benchmarks in one report: `make bench`, or `python3 benches/report/report.py --model models/resnet50 --image photo.jpg`.

Runs the release binary as its users do, puts load on it with `resnetd bench`, and sets what comes out beside the ceiling: the same
session alone, by turns in the same run (`benches/serve`). Writes target/bench/report.md, the plots and every run's JSON beside it. Load goes
to 127.0.0.1 only. `--quick` takes a third of the time or less, and its figures scatter accordingly.
"""
import argparse
import json
import pathlib
import platform
import subprocess
import sys
import time

import cases
from lab import Lab

ROOT = pathlib.Path(__file__).resolve().parents[2]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--binary", default=ROOT / "target/release/resnetd", type=pathlib.Path)
    parser.add_argument("--model", action="append", default=[], type=pathlib.Path, help="a model's folder, NAME/1/model.onnx; several times for several")
    parser.add_argument("--image", type=pathlib.Path, default=ROOT / "tests/fixtures/preprocess/images/photo_500x375.jpg", help="what is sent to them")
    parser.add_argument("--output", type=pathlib.Path, default=ROOT / "target/bench")
    parser.add_argument("--quick", action="store_true", help="shorter and fewer rounds")
    parser.add_argument("--skip-ceiling", action="store_true", help="without benches/serve, which cargo has to build")
    parser.add_argument("--only", nargs="*", default=[], help=f"some of: {', '.join(case.__name__ for case in cases.ALL)}")
    arguments = parser.parse_args()
    if not arguments.binary.is_file():
        raise SystemExit(f"there is no {arguments.binary}: cargo build --release")
    arguments.output.mkdir(parents=True, exist_ok=True)

    begun = time.monotonic()
    subjects = [cases.Subject.built_in()] + [cases.Subject.of(folder, arguments.image) for folder in arguments.model]
    lab = Lab(arguments.binary, arguments.output, arguments.quick)
    rows, plots = [], []
    for case in cases.ALL:
        wanted = not arguments.only or case.__name__ in arguments.only
        if not wanted or (case.needs_cargo and arguments.skip_ceiling):
            continue
        for subject in subjects:
            if case.takes(subject):
                print(f"{time.monotonic() - begun:5.0f} s  {case.__name__}: {subject.name}", file=sys.stderr)
                try:
                    found = case(lab, subject)
                except (Exception, SystemExit) as error:  # One that fails must not cost the others.
                    found = [cases.Row(f"{subject.name}: {case.__name__}", "-", "-", f"not measured: {error}")], []
                rows.extend(found[0])
                plots.extend(found[1])

    report = arguments.output / "report.md"
    report.write_text(page(rows, plots, arguments, time.monotonic() - begun))
    (arguments.output / "report.json").write_text(json.dumps([vars(row) for row in rows], indent=1) + "\n")
    print(report.read_text())


def page(rows, plots, arguments, seconds):
    lines = ["# What resnetd does under load", "", f"{machine()}; {version(arguments.binary)}; {seconds / 60:.1f} minutes"
             + (", `--quick`: rounds of a few seconds, so trust nothing within 10 %" if arguments.quick else "") + ".",
             "Load generator and server share the cores. Ratios are medians of rounds by turns.", "",
             "| what | measured | wanted | |", "| --- | --- | --- | --- |"]
    lines += [f"| {row.what} | {row.measured} | {row.wanted} | {row.note} |" for row in rows]
    for name, caption in plots:
        lines += ["", f"## {caption}", "", f"![{caption}]({name})"]
    return "\n".join(lines) + "\n"


def machine():
    info = pathlib.Path("/proc/cpuinfo")
    names = [line.split(":", 1)[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")] if info.exists() else []
    return f"{len(names) or '?'} cores, {names[0] if names else platform.processor()}"


def version(binary):
    return subprocess.run([binary, "--version"], capture_output=True, text=True, check=True).stdout.strip()


if __name__ == "__main__":
    main()
