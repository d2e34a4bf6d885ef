"""Clients that open all the streams they may and then wait: can everybody else still be served, and what does it cost?

    python3 benches/hostile/parked.py --binary target/release/resnetd [--only KIND…] [--connections 128] [--streams 256] [--set RESNETD__A__B=C…]

Each kind meets a server of its own, with the built-in model. Prints how many streams were opened and how many of them the server
ended, the memory a stream takes, and what 200 honest requests got at each door while the streams were open. Needs Python and Linux.
"""
import argparse
import http.client
import resource
import selectors
import socket
import struct
import time

import h2
from target import CLASSIFY, MODEL, Server, fixture

HONEST = 200
SETTLES_S = 3
PATIENCE_S = 10
# No answer of more than headers comes to its end.
NO_WINDOW = struct.pack(">HI", 4, 0)


def call(method, body=b"", flags=0):
    """What opens one stream at the gRPC door, but for the stream's number."""
    head = h2.block(h2.request_headers("POST", method, h2.GRPC))
    # Many empty frames would be taken for a flood of another kind.
    return lambda stream: h2.frame(h2.HEADERS, h2.END_HEADERS, stream, head) + (h2.frame(h2.DATA, flags, stream, body) if body else b"")


def unread():
    """What is answered at once."""
    return call("/grpc.health.v1.Health/Check", h2.message(b""), h2.END_STREAM)


def get(path):
    head = h2.block(h2.request_headers("GET", path))
    return lambda stream: h2.frame(h2.HEADERS, h2.END_HEADERS | h2.END_STREAM, stream, head)


def upload():
    head = h2.block(h2.request_headers("POST", CLASSIFY))
    return lambda stream: h2.frame(h2.HEADERS, h2.END_HEADERS, stream, head) + h2.frame(h2.DATA, 0, stream, b"x")


# The door, and what opens a stream there.
KINDS = {
    "calls": ("grpc", call("/resnetd.v1.Classifier/Classify")),
    "begun messages": ("grpc", call("/resnetd.v1.Classifier/Classify", struct.pack(">BI", 0, 1 << 24) + bytes(200))),
    "streams": ("grpc", call("/resnetd.v1.Classifier/ClassifyStream")),
    "streams after an item": ("grpc", call("/resnetd.v1.Classifier/ClassifyStream", h2.message(b"\x0a\x01a"))),
    "watches": ("grpc", call("/grpc.health.v1.Health/Watch", h2.message(b""), h2.END_STREAM)),
    "reflection": ("grpc", call("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo")),
    "uploads over http/2": ("http", upload()),
    "unread answers": ("grpc", unread()),
    "unread over http/2": ("http", get("/livez")),
}


class Crowd:
    """The connections, and how many of their streams the server ended."""

    def __init__(self, address, connections, streams, opening, settings):
        self.selector, self.sockets, self.ended, self.cut, self.rest = selectors.DefaultSelector(), [], 0, 0, {}
        for _ in range(connections):
            sock = socket.create_connection(address, timeout=PATIENCE_S)
            sock.sendall(h2.PREFACE + h2.frame(h2.SETTINGS, 0, 0, settings) + b"".join(opening(2 * index + 1) for index in range(streams)))
            sock.setblocking(False)
            self.selector.register(sock, selectors.EVENT_READ)
            self.sockets.append(sock)
            self.rest[sock] = b""
            self.read(0.01)

    def read(self, seconds):
        end = time.monotonic() + seconds
        while True:
            for key, _ in self.selector.select(max(0, min(0.2, end - time.monotonic()))):
                self.take(key.fileobj)
            if time.monotonic() >= end:
                return

    def take(self, sock):
        try:
            came = sock.recv(1 << 18)
        except OSError:
            came = b""
        if not came:
            self.cut += 1
            self.selector.unregister(sock)
            return
        came = self.rest[sock] + came
        while len(came) >= 9 and len(came) >= 9 + int.from_bytes(came[:3], "big"):
            length, kind, flags = int.from_bytes(came[:3], "big"), came[3], came[4]
            self.ended += kind == h2.RST_STREAM or kind in (h2.HEADERS, h2.DATA) and flags & h2.END_STREAM
            came = came[9 + length:]
        self.rest[sock] = came

    def close(self):
        for sock in self.sockets:
            sock.close()


def honest(server, crowd):
    """The outcomes of honest requests at both doors, one after the other."""
    outcomes = {}

    def count(outcome):
        outcomes[outcome] = outcomes.get(outcome, 0) + 1

    cat = fixture("cifar10/cat.jpg")
    headers, message = h2.request_headers("POST", "/resnetd.v1.Classifier/Classify", h2.GRPC), h2.message(h2.classify_message(MODEL, cat))
    grpc = h2.Connection(server.grpc, PATIENCE_S)
    for _ in range(HONEST):
        # A new connection each time: one behind which a refused body is left may be closed.
        plain = http.client.HTTPConnection(*server.http, timeout=PATIENCE_S)
        plain.request("POST", CLASSIFY, body=cat)
        answer = plain.getresponse()
        answer.read()
        plain.close()
        count(f"http {answer.status}")
        _, answer = grpc.request(headers, message)
        count("grpc answered" if b"cat" in answer else "grpc refused")
        crowd.read(0)
    return outcomes


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--binary", default="target/release/resnetd")
    parser.add_argument("--only", nargs="+", choices=list(KINDS), default=list(KINDS), metavar="KIND", help=", ".join(KINDS))
    parser.add_argument("--connections", type=int, default=128)
    parser.add_argument("--streams", type=int, default=256)
    parser.add_argument("--set", nargs="*", default=[], metavar="RESNETD__A__B=C", help="settings of the server")
    arguments = parser.parse_args()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    for kind in arguments.only:
        door, opening = KINDS[kind]
        server = Server(arguments.binary, [setting.split("=", 1) for setting in arguments.set])
        before = server.status("VmRSS")
        crowd = Crowd(getattr(server, door), arguments.connections, arguments.streams, opening, NO_WINDOW if kind.startswith("unread") else b"")
        crowd.read(SETTLES_S)
        opened, taken = arguments.connections * arguments.streams, server.status("VmRSS") - before
        outcomes = honest(server, crowd)
        crowd.read(0.5)
        words = ", ".join(f"{count} x {outcome}" for outcome, count in sorted(outcomes.items()))
        print(f"{kind:22} {opened} opened, {crowd.ended} ended by the server, {crowd.cut} connections cut, {taken:.0f} MB "
              f"({taken * 1024 / opened:.1f} KB each); {words}", flush=True)
        crowd.close()
        server.process.kill()
        server.process.wait()
        server.folder.cleanup()


if __name__ == "__main__":
    main()
