"""A process that gets a part of a core: by the quota of a control group (v2, v1) where we may make one, else by stopping and going on in turn."""
import contextlib
import os
import pathlib
import signal
import threading

ROOT = pathlib.Path("/sys/fs/cgroup")
# The kernel's own period, and the least that it gives a group in one.
PERIOD_US, LEAST_US = 100_000, 1_000


class Quota:
    """A control group of its own, with a quota of the processor's time."""

    def __init__(self, pid, share):
        v2 = "cpu" in (ROOT / "cgroup.subtree_control").read_text().split() if (ROOT / "cgroup.subtree_control").exists() else False
        above = ROOT if v2 else ROOT / "cpu"
        if not v2 and not (above / "cpu.cfs_quota_us").exists():
            raise OSError("no control group has a quota here")
        # Back to where it was; of v1 the line of the controller, of v2 the only one.
        lines = pathlib.Path(f"/proc/{pid}/cgroup").read_text().splitlines()
        was = next(line.split(":", 2)[2] for line in lines if line.startswith("0::") or "cpu" in line.split(":")[1].split(","))
        self.pid, self.before = pid, above / was.lstrip("/")
        self.group = above / f"resnetd-fleet-{os.getpid()}-{pid}"
        self.group.mkdir()
        self.version = 2 if v2 else 1
        try:
            self.give(share)
            (self.group / "cgroup.procs").write_text(str(pid))
        except OSError:
            self.release()
            raise

    def give(self, share):
        """So much of a core from now on; more than 1 is more than one core."""
        quota = max(LEAST_US, int(PERIOD_US * share))
        if self.version == 2:
            (self.group / "cpu.max").write_text(f"{quota} {PERIOD_US}")
        else:
            (self.group / "cpu.cfs_period_us").write_text(str(PERIOD_US))
            (self.group / "cpu.cfs_quota_us").write_text(str(quota))

    def release(self):
        # A process that has ended is in no group.
        with contextlib.suppress(OSError):
            (self.before / "cgroup.procs").write_text(str(self.pid))
        with contextlib.suppress(OSError):
            self.group.rmdir()


class Turns:
    """Runs for a `share` of each tenth of a second."""

    def __init__(self, pid, share):
        self.pid, self.share, self.over = pid, share, threading.Event()
        self.thread = threading.Thread(target=self._turn)
        self.thread.start()

    def _turn(self):
        period = PERIOD_US / 1e6
        with contextlib.suppress(ProcessLookupError):
            while True:
                os.kill(self.pid, signal.SIGCONT)
                if self.over.wait(period * self.share):
                    return
                os.kill(self.pid, signal.SIGSTOP)
                self.over.wait(period * (1 - self.share))

    def release(self):
        self.over.set()
        self.thread.join()


def brake(pid, share):
    """Holds `pid` back; what is given lets it go."""
    try:
        return Quota(pid, share)
    except (OSError, StopIteration):
        return Turns(pid, share)
