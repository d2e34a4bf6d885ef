"""Hostile clients. Each attack is a function that does its worst until `stop`, at a bounded pace, and counts what it did.

All of them together shall leave a processor the time to serve: what is tested is whether a little malice takes the server
from everybody else, not whether a flood fills a machine. Addresses are those of the server that the caller started.
"""
import contextlib
import random
import select
import socket
import struct
import time
import zlib

import h2
import pictures
from target import CLASSIFY, MODEL, fixture

HEAD = f"POST {CLASSIFY} HTTP/1.1\r\nhost: test\r\n".encode()
METHOD = "/resnetd.v1.Classifier/Classify"
PATIENCE_S = 5


class Attack:
    """What every attack gets: both doors, when to stop, where to count."""

    def __init__(self, http, grpc, stop, pace, counts):
        self.http, self.grpc, self.stop, self.pace, self.counts = http, grpc, stop, pace, counts
        self.random = random.Random(7)

    def count(self, what):
        self.counts[what] = self.counts.get(what, 0) + 1

    def pause(self, seconds):
        self.stop.wait(seconds * self.pace)

    def going(self):
        return not self.stop.is_set()

    def connect(self, address, receive_buffer=None):
        """A socket, or `None` where the door does not open in time."""
        try:
            sock = socket.socket()
            sock.settimeout(PATIENCE_S)
            if receive_buffer:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
            sock.connect(address)
            return sock
        except OSError as error:
            self.count(f"no connection: {type(error).__name__}")
            return None

    def ask(self, data, address=None):
        """Sends on a new connection and counts the status that comes back."""
        if (sock := self.connect(address or self.http)) is None:
            return
        with sock:
            try:
                with contextlib.suppress(ConnectionError):
                    sock.sendall(data)
                line = sock.recv(4096).split(b"\r\n", 1)[0]
                self.count(line[9:12].decode("latin-1") or "closed without an answer")
            except OSError as error:
                self.count(type(error).__name__)

    def crowd(self, address, size, opening, again, pause):
        """Keeps so many connections open, sends `opening` on each and `again` every `pause` seconds; counts those cut."""
        crowd = []
        while self.going():
            while len(crowd) < size and self.going():
                sock = self.connect(address)
                if sock is None:
                    break
                crowd.append(sock)
                with contextlib.suppress(OSError):
                    sock.sendall(opening)
                self.count("opened")
            self.pause(pause)
            poller = select.poll()
            by_number = {sock.fileno(): sock for sock in crowd}
            for number in by_number:
                poller.register(number, select.POLLIN)
            for number, _ in poller.poll(0):
                sock = by_number[number]
                try:
                    # HTTP/2 greets with its settings: only an end is an end.
                    is_cut = not sock.recv(4096)
                except OSError:
                    is_cut = True
                if is_cut:
                    self.count("cut")
                    crowd.remove(sock)
                    sock.close()
            for sock in crowd:
                with contextlib.suppress(OSError):
                    if again:
                        sock.sendall(again)
        for sock in crowd:
            sock.close()


def slow_heads(a):
    """Heads that arrive a byte at a time."""
    a.crowd(a.http, 100, HEAD + b"x-slow: ", b"a", 1)


def slow_bodies(a):
    """33 uploads of unknown length that trickle."""
    a.crowd(a.http, 33, HEAD + b"transfer-encoding: chunked\r\n\r\n9c40\r\n", b"a" * 100, 1)


def announced_bodies(a):
    """Silent sockets that announce as much as is allowed."""
    a.crowd(a.http, 33, HEAD + b"content-length: 33554432\r\n\r\n", b"", 1)


def silent_sockets(a):
    """Connections at the HTTP door on which nothing is ever sent."""
    a.crowd(a.http, 500, b"", b"", 1)


def silent_grpc_sockets(a):
    """The same at the gRPC door."""
    a.crowd(a.grpc, 500, b"", b"", 1)


def idle_streams(a):
    """gRPC calls whose message never ends, many on a connection."""
    opening = h2.PREFACE + h2.frame(h2.SETTINGS, 0, 0)
    call = h2.block(h2.request_headers("POST", METHOD, h2.GRPC))
    part = struct.pack(">BI", 0, 1 << 24) + bytes(600)
    for stream in range(1, 201, 2):
        opening += h2.frame(h2.HEADERS, h2.END_HEADERS, stream, call) + h2.frame(h2.DATA, 0, stream, part)
    a.crowd(a.grpc, 20, opening, b"", 1)


def never_read(a):
    """Clients that ask for 5 MB of answers and read nothing; one that is not cut is held until the end."""
    ask = f"GET /v1/models/{MODEL}/metadata HTTP/1.1\r\nhost: test\r\n\r\n".encode() * 3000
    crowd = []
    while a.going():
        if len(crowd) < 20 and (sock := a.connect(a.http, receive_buffer=4096)):
            sock.settimeout(1)
            crowd.append(sock)
            with contextlib.suppress(OSError):
                sock.sendall(ask)
            a.count("opened")
        for sock in list(crowd):
            poller = select.poll()
            poller.register(sock, select.POLLRDHUP)
            if poller.poll(0):
                a.count("cut")
                crowd.remove(sock)
                sock.close()
        a.pause(0.1)


def mutated_pictures(a):
    """Real pictures with bytes changed, cut or repeated."""
    names = ["cifar10/cat.jpg", "preprocess/images/png_interlaced_rgba16.png", "preprocess/images/webp_lossy_alpha.webp", "images/webp_lossy.webp",
             "preprocess/images/gif_animated.gif", "preprocess/images/bmp_8_palette.bmp", "preprocess/images/tiff_cmyk16.tiff", "images/jpeg_progressive.jpg"]
    originals = [fixture(name) for name in names]
    while a.going():
        picture = bytearray(a.random.choice(originals))
        for _ in range(a.random.randint(1, 8)):
            at = a.random.randrange(len(picture))
            match a.random.randrange(4):
                case 0:
                    picture[at] = a.random.randrange(256)
                case 1:
                    picture[at:at + 4] = a.random.choice([b"\xff" * 4, b"\0" * 4, b"\x7f\xff\xff\xff", b"\0\0\0\1"])
                case 2:
                    del picture[at:at + a.random.randrange(1, 64)]
                case _:
                    picture[at:at] = picture[at:at + 16]
            picture = picture or bytearray(b"x")
        a.ask(HEAD + b"content-length: %d\r\n\r\n" % len(picture) + picture)
        a.pause(0.03)


def bombs(a):
    """Few bytes that decode into many pixels: 64 GIFs of 35 bytes in one form, and each kind of 100 megapixels once in a while."""
    gif = pictures.gif_of_one_pixel(10_000, 10_000)
    part = b'--cut\r\ncontent-disposition: form-data; name="image"; filename="a"\r\n\r\n'
    form = (part + gif + b"\r\n") * 64 + b"--cut--\r\n"
    forms = HEAD + b"content-type: multipart/form-data; boundary=cut\r\ncontent-length: %d\r\n\r\n" % len(form) + form
    single = [pictures.jpeg(10_000, 10_000, 4, progressive=True), pictures.webp(10_000, 10_000, frames=3), gif]
    while a.going():
        for data in [forms] + [HEAD + b"content-length: %d\r\n\r\n" % len(picture) + picture for picture in single]:
            a.ask(data)
            a.pause(2)
            if not a.going():
                break


def text_chunks(a):
    """A picture of one pixel behind 12 MB of comments."""
    picture = pictures.png(1, 1, text_bytes=12_000_000)
    while a.going():
        a.ask(HEAD + b"content-length: %d\r\n\r\n" % len(picture) + picture)
        a.pause(1)


def huge_json(a):
    """8 MB of empty instances, of numbers where one belongs, of white space, and nesting without an end."""
    many = b'{"instances":[' + b'"",' * 2_700_000 + b'""]}'
    numbers = b'{"instances":[""],"top_k":[' + b"0," * 4_000_000 + b"0]}"
    deep = b'{"instances":[' + b'{"a":' * 500_000
    while a.going():
        for body in (many, numbers, b" " * 8_000_000, deep):
            a.ask(HEAD + b"content-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
            a.pause(1)


def tiny_parts(a):
    """A form of 100,000 parts."""
    body = b'--c\r\ncontent-disposition: form-data; name="top_k"\r\n\r\n1\r\n' * 100_000 + b"--c--\r\n"
    while a.going():
        a.ask(HEAD + b"content-type: multipart/form-data; boundary=c\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
        a.pause(1)


def near_boundaries(a):
    """A form of one part of 20 MB that nearly ends all the time."""
    body = b'--cut-here\r\ncontent-disposition: form-data; name="image"\r\n\r\n' + b"\r\n--cut-her" * 1_800_000 + b"\r\n--cut-here--\r\n"
    while a.going():
        a.ask(HEAD + b"content-type: multipart/form-data; boundary=cut-here\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
        a.pause(1)


def tiny_fields(a):
    """gRPC messages of 15 million empty images, and of fields that nobody knows, packed into 30 KB."""
    fields = (b"\x1a\x00", b"\x78\x01", b"\x7a\x00")
    messages = [h2.message(b"".join(gzip(field * (1 << 19) for _ in range(30))), compressed=1) for field in fields]
    while a.going():
        for message in messages:
            try:
                connection = h2.Connection(a.grpc, PATIENCE_S)
                _, answer = connection.request(h2.request_headers("POST", METHOD, [*h2.GRPC, ("grpc-encoding", "gzip")]), message)
                a.count("answered" if answer else "refused")
                connection.close()
            except OSError as error:
                a.count(type(error).__name__)
            a.pause(0.3)


def long_paths(a):
    """Names and queries of 30,000 letters."""
    while a.going():
        for path in (b"/v1/models/%s/zzz" % (b"a" * 30_000), b"/v1/models/x?%s=1" % (b"k" * 30_000), b"/" + b"/a" * 15_000):
            a.ask(b"GET " + path + b" HTTP/1.1\r\nhost: test\r\n\r\n")
            a.pause(1)


def huge_heads(a):
    """Heads at the limit and beyond."""
    while a.going():
        for size in (31_000, 200_000):
            a.ask(b"GET /livez HTTP/1.1\r\nhost: test\r\n" + b"x-a: %s\r\n\r\n" % (b"h" * size))
        a.ask(b"GET /livez HTTP/1.1\r\nhost: test\r\n" + b"a:b\r\n" * 5000 + b"\r\n")
        a.pause(0.2)


def nonsense(a):
    """No HTTP, half of it, and HTTP that two readers understand in two ways."""
    while a.going():
        a.ask(a.random.randbytes(200) + b"\r\n\r\n")
        a.ask(HEAD + b"content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\nGET / HTTP/1.1\r\n\r\n")
        a.ask(HEAD + b"transfer-encoding: gzip, chunked\r\n\r\nffffffffffffffff1\r\n")
        a.ask(b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03", a.grpc)
        a.pause(0.2)


def compressed(a):
    """Bodies that unpack into half a gigabyte, over HTTP and gRPC."""
    zeros = b"".join(gzip(bytes(1 << 20) for _ in range(1 << 9)))
    call = h2.block(h2.request_headers("POST", METHOD, [*h2.GRPC, ("grpc-encoding", "gzip")]))
    while a.going():
        a.ask(HEAD + b"content-encoding: gzip\r\ncontent-length: %d\r\n\r\n" % len(zeros) + zeros)
        a.pause(1)
        frames = h2.frame(h2.HEADERS, h2.END_HEADERS, 1, call)
        data = h2.message(zeros, compressed=1)[:60_000]
        for at in range(0, len(data), 16_384):
            frames += h2.frame(h2.DATA, 0, 1, data[at:at + 16_384])
        a.ask(h2.PREFACE + h2.frame(h2.SETTINGS, 0, 0) + frames, a.grpc)
        a.pause(1)


def gzip(pieces):
    packer = zlib.compressobj(6, wbits=31)
    for piece in pieces:
        yield packer.compress(piece)
    yield packer.flush()


def bad_protobuf(a):
    """gRPC calls whose message is none, is cut, comes twice, or has another type."""
    good = h2.classify_message(MODEL, fixture("cifar10/cat.jpg"))
    bodies = [b"\x00\x00\x00\x00\x05\xff\xff\xff\xff\xff", h2.message(good)[:-100], h2.message(good) * 2, b"garbage", h2.message(b"\x1a\xff\xff\xff\xff\x0f"),
              h2.message(good, compressed=1), b""]
    while a.going():
        for body in bodies:
            for headers in (h2.GRPC, [("content-type", "application/json")]):
                try:
                    connection = h2.Connection(a.grpc, PATIENCE_S)
                    is_ok, answer = connection.request(h2.request_headers("POST", METHOD, headers), body)
                    a.count("answered" if answer else f"refused{'' if is_ok else ' with an HTTP status'}")
                    connection.close()
                except OSError as error:
                    a.count(type(error).__name__)
        a.pause(0.3)


def rapid_reset(a):
    """Calls that are taken back as soon as they were made (CVE-2023-44487), 100 in a burst."""
    call = h2.block(h2.request_headers("POST", METHOD, h2.GRPC))
    body = h2.message(h2.classify_message(MODEL, fixture("cifar10/cat.jpg")))
    while a.going():
        if (sock := a.connect(a.grpc)) is None:
            continue
        with sock:
            sock.settimeout(2)
            try:
                sock.sendall(h2.PREFACE + h2.frame(h2.SETTINGS, 0, 0))
                for burst in range(50):
                    out = b""
                    for stream in range(burst * 200 + 1, burst * 200 + 201, 2):
                        out += (h2.frame(h2.HEADERS, h2.END_HEADERS, stream, call) + h2.frame(h2.DATA, h2.END_STREAM, stream, body)
                                + h2.frame(h2.RST_STREAM, 0, stream, h2.CANCEL))
                    sock.sendall(out)
                    a.count("bursts")
                    a.pause(0.2)
                    if not a.going():
                        break
            except OSError:
                a.count("cut")


def frame_floods(a):
    """Settings, pings, empty frames and endless continuations."""
    opening = h2.PREFACE + h2.frame(h2.SETTINGS, 0, 0)
    call = h2.block(h2.request_headers("POST", METHOD, h2.GRPC))
    floods = {
        "settings": h2.frame(h2.SETTINGS, 0, 0, struct.pack(">HI", 4, 65535)) * 1000,
        "pings": h2.frame(h2.PING, 0, 0, bytes(8)) * 1000,
        "empty data": h2.frame(h2.HEADERS, h2.END_HEADERS, 1, call) + h2.frame(h2.DATA, 0, 1) * 1000,
        "continuations": h2.frame(h2.HEADERS, 0, 1, call) + h2.frame(h2.CONTINUATION, 0, 1, h2.block([("a", "b" * 100)])) * 1000,
        "windows": h2.frame(h2.WINDOW_UPDATE, 0, 0, struct.pack(">I", 1 << 30)) * 10,
    }
    while a.going():
        for name, flood in floods.items():
            if (sock := a.connect(a.grpc)) is None:
                continue
            with sock:
                sock.settimeout(1)
                try:
                    sock.sendall(opening)
                    for _ in range(20):
                        sock.sendall(flood)
                    a.count(f"{name}: taken")
                except OSError:
                    a.count(f"{name}: cut or not read")
            a.pause(0.5)


def connection_flood(a):
    """300 connections at once, closed again."""
    while a.going():
        crowd = [sock for sock in (a.connect(address) for _ in range(150) for address in (a.http, a.grpc)) if sock]
        a.count(f"rounds of {len(crowd) // 100 * 100} and more")
        for sock in crowd:
            sock.close()
        a.pause(1)


def hang_ups(a):
    """Clients that leave with a reset while their picture is in work, or in the middle of sending it."""
    photo = fixture("images/jpeg_exif6.jpg")
    request = HEAD + b"content-length: %d\r\n\r\n" % len(photo) + photo
    while a.going():
        for length in (len(request), len(request) // 2, 40):
            if (sock := a.connect(a.http)) is None:
                continue
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            with contextlib.suppress(OSError):
                sock.sendall(request[:length])
            time.sleep(0.002)
            sock.close()
            a.count("left")
        a.pause(0.05)


ALL = {attack.__name__: attack for attack in [
    slow_heads, slow_bodies, announced_bodies, silent_sockets, silent_grpc_sockets, idle_streams, never_read, mutated_pictures, bombs, text_chunks,
    huge_json, tiny_parts, near_boundaries, tiny_fields, long_paths, huge_heads, nonsense, compressed, bad_protobuf, rapid_reset, frame_floods, connection_flood, hang_ups]}


def main(name, http, grpc, stop, pace, results):
    """A process of one attack; gives what it counted."""
    counts = {}
    try:
        ALL[name](Attack(http, grpc, stop, pace, counts))
    except OSError as error:
        counts[f"gave up: {error}"] = 1
    results.put((name, counts))
