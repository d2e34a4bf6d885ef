"""Where replicas and a proxy stand: on loopback, or each in a network namespace of its own, joined by a bridge. Knows nothing of either.

The namespaces belong to this process alone. It moves into a fresh one, which has the bridge, and holds the others by open descriptors: they have no
names, nothing of the machine's own network is touched, and all of it is gone with the process, however that ends. Needs root (CAP_SYS_ADMIN).
"""
import ctypes
import os
import subprocess
import threading

CLONE_NEWNET = 0x40000000
# Kept for tests of networks by RFC 2544; seen by nobody outside.
ADDRESSES = "198.18.0"
BRIDGE = "fleet"
# A network that loses packets, both ways; where the kernel has no netem for that, the link is away for so long in each period.
LOSS_PERCENT, LATE_MS, JITTER_MS = 5, 20, 5
AWAY_S, PERIOD_S = 0.2, 1.0


class Place:
    """Loopback: an address, and what a command begins with to run there."""

    address, prefix = "127.0.0.1", []


class Unavailable(Exception):
    """Why there are no namespaces here."""


class Room(Place):
    """A namespace with one link to the bridge."""

    def __init__(self, number):
        self.number, self.port, self.address = number, f"port{number}", f"{ADDRESSES}.{number + 1}"
        self.hardware, self.turns = f"02:00:00:00:00:{number:02x}", None
        self.namespace = f"/proc/{os.getpid()}/fd/{_fresh()}"
        self.prefix = ["nsenter", f"--net={self.namespace}", "--"]
        _run("ip", "link", "add", self.port, "type", "veth", "peer", "name", "eth0", "address", self.hardware)
        _run("ip", "link", "set", "eth0", "netns", self.namespace)
        _run("ip", "link", "set", self.port, "master", BRIDGE, "up")
        _run(*self.prefix, "ip", "link", "set", "lo", "up")
        _run(*self.prefix, "ip", "address", "add", f"{self.address}/24", "dev", "eth0")
        _run(*self.prefix, "ip", "link", "set", "eth0", "up")

    def knows(self, other):
        """It does not have to ask where `other` is: behind a router nobody would tell it that a machine is gone."""
        _run(*self.prefix, "ip", "neighbour", "replace", other.address, "lladdr", other.hardware, "dev", "eth0", "nud", "permanent")

    def cut(self):
        """What is sent to it and by it vanishes, without a word to anybody."""
        _run("ip", "link", "set", self.port, "down")

    def join(self):
        _run("ip", "link", "set", self.port, "up")

    def lose(self):
        """Loses packets until `mend`; says how."""
        netem = ["root", "netem", "delay", f"{LATE_MS}ms", f"{JITTER_MS}ms", "loss", f"{LOSS_PERCENT}%"]
        try:
            _run("tc", "qdisc", "replace", "dev", self.port, *netem)
            _run(*self.prefix, "tc", "qdisc", "replace", "dev", "eth0", *netem)
            return f"{LOSS_PERCENT} % of packets are lost each way, the others {LATE_MS} ms late (netem)"
        except Unavailable:
            self.turns = _Turns(self)
            return f"no netem in this kernel: the link is away for {AWAY_S} s of every {PERIOD_S:.0f}"

    def mend(self):
        if self.turns:
            self.turns.end()
            self.turns = None
            return
        _run("tc", "qdisc", "delete", "dev", self.port, "root")
        _run(*self.prefix, "tc", "qdisc", "delete", "dev", "eth0", "root")


class _Turns:
    """A link that is there and away in turn."""

    def __init__(self, room):
        self.room, self.over = room, threading.Event()
        self.thread = threading.Thread(target=self._turn)
        self.thread.start()

    def _turn(self):
        while not self.over.wait(PERIOD_S - AWAY_S):
            self.room.cut()
            self.over.wait(AWAY_S)
            self.room.join()

    def end(self):
        self.over.set()
        self.thread.join()


def rooms(count):
    """As many rooms, the first of them the proxy's. The process stays in the namespace between them: call it once, before there are threads.

    Unavailable where this may not be done; then everything is as it was.
    """
    try:
        before = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    except OSError as error:
        raise Unavailable(f"/proc/thread-self/ns/net: {error.strerror}") from error
    _call("unshare", CLONE_NEWNET)
    try:
        _run("ip", "link", "set", "lo", "up")
        _run("ip", "link", "add", BRIDGE, "type", "bridge")
        _run("ip", "address", "add", f"{ADDRESSES}.1/24", "dev", BRIDGE)
        _run("ip", "link", "set", BRIDGE, "up")
        made = [Room(number) for number in range(1, count + 1)]
        for room in made[1:]:
            made[0].knows(room)
            room.knows(made[0])
        return made
    except Unavailable:
        _call("setns", before, CLONE_NEWNET)
        raise
    finally:
        os.close(before)


def _fresh():
    """A descriptor of a namespace that nobody is in."""
    here = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    try:
        _call("unshare", CLONE_NEWNET)
        made = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        _call("setns", here, CLONE_NEWNET)
        return made
    finally:
        os.close(here)


def _call(name, *arguments):
    library = ctypes.CDLL(None, use_errno=True)
    if getattr(library, name)(*arguments):
        raise Unavailable(f"{name}: {os.strerror(ctypes.get_errno())}")


def _run(*command):
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10)
    except OSError as error:
        raise Unavailable(f"{command[0]}: {error.strerror}") from error
    if done.returncode:
        raise Unavailable(f"{' '.join(command)}: {done.stderr.strip()}")
