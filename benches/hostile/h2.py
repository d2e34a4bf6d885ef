"""HTTP/2 in frames, as much as clients here need, honest or not: no library would send what an attacker sends.

Headers go out as literals and come in unread but for the status; windows are given back at once.
"""
import socket
import struct

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM, ACK, END_HEADERS = 1, 1, 4
CANCEL = struct.pack(">I", 8)


def frame(kind, flags, stream, payload=b""):
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def text(value):
    """A string of HPACK, plain."""
    length = len(value)
    if length < 127:
        return bytes([length]) + value
    rest, prefix = length - 127, b"\x7f"
    while rest >= 128:
        prefix, rest = prefix + bytes([rest % 128 + 128]), rest // 128
    return prefix + bytes([rest]) + value


def block(headers):
    """Headers as HPACK literals that no table remembers."""
    return b"".join(b"\x00" + text(name.encode()) + text(value if isinstance(value, bytes) else value.encode()) for name, value in headers)


def request_headers(method, path, more=()):
    return [(":method", method), (":scheme", "http"), (":authority", "test"), (":path", path), *more]


GRPC = [("content-type", "application/grpc"), ("te", "trailers")]


def varint(number):
    out = b""
    while number >= 128:
        out, number = out + bytes([number % 128 + 128]), number // 128
    return out + bytes([number])


def field(number, value):
    """A protobuf field of bytes."""
    return varint(number << 3 | 2) + varint(len(value)) + value


def message(payload, compressed=0):
    """A gRPC message with its prefix."""
    return struct.pack(">BI", compressed, len(payload)) + payload


class Connection:
    """One connection, one request at a time."""

    def __init__(self, address, timeout=30):
        self.socket = socket.create_connection(address, timeout=timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.reader = self.socket.makefile("rb")
        self.stream = -1
        self.is_leaving = False
        self.socket.sendall(PREFACE + frame(SETTINGS, 0, 0))

    def next_stream(self):
        self.stream += 2
        return self.stream

    def request(self, headers, body=b""):
        """Gives whether the status was 200, and the body. Bodies stay below the first window of 64 KB."""
        stream = self.next_stream()
        ends = END_HEADERS if body else END_HEADERS | END_STREAM
        out = frame(HEADERS, ends, stream, block(headers))
        for at in range(0, len(body), 16384):
            last = END_STREAM if at + 16384 >= len(body) else 0
            out += frame(DATA, last, stream, body[at:at + 16384])
        self.socket.sendall(out)
        is_ok, answer = False, b""
        while True:
            kind, flags, of, payload = self.read_frame()
            if of == stream and kind == HEADERS and not answer:
                is_ok = is_ok or b"\x88" in payload[:2]
            elif of == stream and kind == DATA:
                answer += payload
                if payload:
                    grown = struct.pack(">I", len(payload))
                    self.socket.sendall(frame(WINDOW_UPDATE, 0, 0, grown))
            elif of == stream and kind == RST_STREAM:
                raise ConnectionError(f"stream reset with {payload.hex()}")
            if of == stream and kind in (HEADERS, DATA) and flags & END_STREAM:
                return is_ok, answer

    def read_frame(self):
        """The next frame that is not the connection's own business."""
        while True:
            head = self.reader.read(9)
            if len(head) < 9:
                raise ConnectionError("closed")
            length, kind, flags = int.from_bytes(head[:3], "big"), head[3], head[4]
            stream = int.from_bytes(head[5:], "big") & 0x7FFFFFFF
            payload = self.reader.read(length)
            if kind == SETTINGS and not flags & ACK:
                self.socket.sendall(frame(SETTINGS, ACK, 0))
            elif kind == PING and not flags & ACK:
                self.socket.sendall(frame(PING, ACK, 0, payload))
            elif kind == GOAWAY:
                self.is_leaving = True
            else:
                return kind, flags, stream, payload

    def close(self):
        self.reader.close()
        self.socket.close()


def classify_message(model, *images):
    return field(1, model.encode()) + b"".join(field(3, image) for image in images)


class Windows:
    """What the server allows to be sent on one stream of a connection, for bodies beyond the first window."""

    def __init__(self, sock):
        self.socket, self.reader = sock, sock.makefile("rb")
        self.connection = self.stream = 65_535
        self.initial = 65_535

    def pour(self, stream, size):
        """Sends so many zeros on the stream, as the windows open; gives how many went out before the server ended it."""
        left = size
        try:
            while left > 0:
                now = min(left, self.connection, self.stream, 16_384)
                if now <= 0:
                    self.wait()
                    continue
                self.socket.sendall(frame(DATA, 0, stream, bytes(now)))
                left, self.connection, self.stream = left - now, self.connection - now, self.stream - now
        except (OSError, EOFError):
            pass
        return size - left

    def wait(self):
        """Reads one frame and takes what it gives."""
        head = self.reader.read(9)
        if len(head) < 9:
            raise EOFError
        length, kind, flags, of = int.from_bytes(head[:3], "big"), head[3], head[4], int.from_bytes(head[5:], "big")
        payload = self.reader.read(length)
        if kind == WINDOW_UPDATE:
            grown = int.from_bytes(payload, "big")
            if of:
                self.stream += grown
            else:
                self.connection += grown
        elif kind == SETTINGS and not flags & ACK:
            for at in range(0, length, 6):
                if payload[at:at + 2] == b"\0\x04":
                    initial = int.from_bytes(payload[at + 2:at + 6], "big")
                    self.stream, self.initial = self.stream + initial - self.initial, initial
            self.socket.sendall(frame(SETTINGS, ACK, 0))
        elif kind in (GOAWAY, RST_STREAM) or (kind == HEADERS and flags & END_STREAM):
            raise EOFError
