"""The most memory that the server takes under the worst load that its limits allow: the figures of README's table.

    python3 benches/hostile/memory.py --binary target/release/resnetd [--minutes 10] [--only LOAD…] [--set RESNETD__A__B=C…]

Each load runs on a server of its own, with the built-in model: so many clients at a time repeat it until its share of the minutes
is over. Prints memory at rest before, the peak, what is left five seconds after, and what the answers were. Needs Python and Linux.
"""
import argparse
import base64
import http.client
import pathlib
import socket
import struct
import sys
import threading
import time

import h2
import pictures
from target import CLASSIFY, MODEL, Server, fixture

BODY_LIMIT = 32 << 20
MEGAPIXELS = 100
AT_ONCE = 8
PATIENCE_S = 120
REST_S = 5


def loads():
    """Name, how many at once, and what one client does: a function of the server that gives a word for the outcome."""
    for name, picture in pictures.worst(MEGAPIXELS):
        yield f"{AT_ONCE} x {MEGAPIXELS} megapixels, {name}", AT_ONCE, post(picture)
    gif = pictures.gif_of_one_pixel(10_000, 10_000)
    yield "64 such gifs in a form, 4 at a time", 4, post(*form([gif] * 64))
    yield f"{AT_ONCE} bodies of the limit that are no picture", AT_ONCE, post(b"x" * BODY_LIMIT)
    yield f"{AT_ONCE} bodies of the limit, a png with comments", AT_ONCE, post(pictures.png(1, 1, text_bytes=BODY_LIMIT - 200_000))
    yield f"{AT_ONCE} forms of tiny parts", AT_ONCE, post(*form([b""] * 64, option=500_000))
    yield f"{AT_ONCE} json bodies of empty instances", AT_ONCE, post(b'{"instances":[' + b'"",' * (BODY_LIMIT // 3 - 10) + b'""]}', "application/json")
    photo = base64.b64encode(b"x" * (BODY_LIMIT * 3 // 4 - 1000))
    yield f"{AT_ONCE} json bodies of one large instance", AT_ONCE, post(b'{"instances":["' + photo + b'"]}', "application/json")
    yield "40 announced bodies of the limit, sent slowly", 40, slow_body
    yield "40 grpc messages of the limit, sent slowly", 40, slow_call
    yield "100 connections with 100 streams of a message that does not end", 100, idle_streams
    yield "32 requests of 64 photos of 500x375", 32, post(*form([fixture("preprocess/images/photo_500x375.jpg")] * 64))
    yield "1,000 idle connections", 1000, idle
    yield "60 s of small pictures of every format", 16, small_pictures()


def post(body, content_type="application/octet-stream"):
    def one(server):
        connection = http.client.HTTPConnection(*server.http, timeout=PATIENCE_S)
        connection.request("POST", CLASSIFY, body=body, headers={"content-type": content_type})
        answer = connection.getresponse()
        answer.read()
        connection.close()
        if answer.status == 429:
            time.sleep(0.2)
        return str(answer.status)
    return one


def form(images, option=0):
    """A form of these images behind so many parts without a file."""
    parts = [b'--c\r\ncontent-disposition: form-data; name="top_k"\r\n\r\n1\r\n' * min(option, 500_000)]
    parts += [b'--c\r\ncontent-disposition: form-data; name="image"; filename="a"\r\n\r\n' + image + b"\r\n" for image in images]
    return b"".join(parts) + b"--c--\r\n", "multipart/form-data; boundary=c"


def slow_body(server):
    """All but one byte of a body of the limit, then silence."""
    with socket.create_connection(server.http, timeout=PATIENCE_S) as sock:
        sock.sendall(f"POST {CLASSIFY} HTTP/1.1\r\nhost: test\r\ncontent-length: {BODY_LIMIT}\r\n\r\n".encode())
        return held(sock, b"x" * (BODY_LIMIT - 1))


def slow_call(server):
    """A message that announces the limit and stops short of it."""
    call = h2.block(h2.request_headers("POST", "/resnetd.v1.Classifier/Classify", h2.GRPC))
    with socket.create_connection(server.grpc, timeout=PATIENCE_S) as sock:
        sock.settimeout(10)
        windows = h2.Windows(sock)
        start = h2.frame(h2.DATA, 0, 1, struct.pack(">BI", 0, BODY_LIMIT - 5))
        sock.sendall(h2.PREFACE + h2.frame(h2.SETTINGS, 0, 0) + h2.frame(h2.HEADERS, h2.END_HEADERS, 1, call) + start)
        windows.connection, windows.stream = windows.connection - 5, windows.stream - 5
        went_out = windows.pour(1, BODY_LIMIT - 100)
        return f"took {went_out >> 20} MiB, {held(sock, b'')}"


def idle_streams(server):
    call = h2.block(h2.request_headers("POST", "/resnetd.v1.Classifier/Classify", h2.GRPC))
    part = struct.pack(">BI", 0, BODY_LIMIT - 5) + bytes(600)
    streams = b"".join(h2.frame(h2.HEADERS, h2.END_HEADERS, stream, call) + h2.frame(h2.DATA, 0, stream, part) for stream in range(1, 200, 2))
    with socket.create_connection(server.grpc, timeout=PATIENCE_S) as sock:
        return held(sock, h2.PREFACE + h2.frame(h2.SETTINGS, 0, 0) + streams)


def idle(server):
    with socket.create_connection(server.http, timeout=PATIENCE_S) as sock:
        return held(sock, b"")


def held(sock, data):
    """Sends and holds the connection until the server cuts it or some seconds are over."""
    sock.settimeout(10)
    try:
        sock.sendall(data)
        while sock.recv(65536):
            pass
        return "ended by the server"
    except TimeoutError:
        return "held for 10 s"
    except OSError:
        return "cut"


def small_pictures():
    """Pictures of every format, in turn: what an allocator does not give back grows here."""
    folder = pathlib.Path(__file__).resolve().parents[2] / "tests/fixtures/preprocess/images"
    asks = [post(file.read_bytes()) for file in sorted(folder.iterdir())]
    turn = iter(range(1 << 62))

    def one(server):
        return asks[next(turn) % len(asks)](server)
    return one


def run(binary, settings, count, one, seconds):
    """Gives memory before, its peak, memory after a rest, and the outcomes."""
    server = Server(binary, settings)
    outcomes, lock = {}, threading.Lock()
    end = time.monotonic() + seconds

    def client():
        while time.monotonic() < end and server.is_alive():
            try:
                outcome = one(server)
            except (OSError, http.client.HTTPException) as error:
                outcome = type(error).__name__
            with lock:
                outcomes[outcome] = outcomes.get(outcome, 0) + 1

    before = server.status("VmRSS")
    server.reset_peak()
    threads = [threading.Thread(target=client, daemon=True) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(seconds + PATIENCE_S)
    peak = server.status("VmHWM")
    time.sleep(REST_S)
    after = server.status("VmRSS")
    if not server.is_alive():
        outcomes["THE SERVER ENDED"] = 1
    server.process.kill()
    server.process.wait()
    return before, peak, after, outcomes


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--binary", default="target/release/resnetd")
    parser.add_argument("--minutes", type=float, default=10, help="for all loads together")
    parser.add_argument("--only", nargs="+", default=[], metavar="LOAD", help="loads whose name has one of these words")
    parser.add_argument("--set", nargs="*", default=[], metavar="RESNETD__A__B=C", help="settings of the server")
    arguments = parser.parse_args()
    settings = [setting.split("=", 1) for setting in arguments.set]
    chosen = [load for load in loads() if not arguments.only or any(word in load[0] for word in arguments.only)]
    if not chosen:
        sys.exit(f"no load has one of {arguments.only} in its name")
    seconds = max(1, arguments.minutes * 60 / len(chosen) - REST_S - 2)
    print(f"{arguments.binary}, model {MODEL}, {seconds:.0f} s each, memory in MB\n\n{'load':66} before   peak  after  answers")
    worst = 0
    for name, count, one in chosen:
        before, peak, after, outcomes = run(arguments.binary, settings, count, one, seconds)
        worst = max(worst, peak)
        words = ", ".join(f"{count} x {outcome}" for outcome, count in sorted(outcomes.items()))
        print(f"{name:66} {before:6.0f} {peak:6.0f} {after:6.0f}  {words}", flush=True)
    print(f"\nhighest peak: {worst:.0f} MB")


if __name__ == "__main__":
    main()
