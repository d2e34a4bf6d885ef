"""The first message of TLS, byte by byte, and what a server says to it.

A library offers what its builder thought right: TLS 1.0 and old cipher suites are no longer among it, so that a server which takes them would
not be found. What is offered here is ours to say. RFC 5246, RFC 8446.
"""
import os
import socket
import struct

SSL_3, TLS_1_0, TLS_1_1, TLS_1_2, TLS_1_3 = 0x0300, 0x0301, 0x0302, 0x0303, 0x0304
VERSIONS = {SSL_3: "SSL 3.0", TLS_1_0: "TLS 1.0", TLS_1_1: "TLS 1.1", TLS_1_2: "TLS 1.2", TLS_1_3: "TLS 1.3"}
ALERTS = {40: "handshake_failure", 47: "illegal_parameter", 50: "decode_error", 70: "protocol_version", 71: "insufficient_security",
          109: "missing_extension", 120: "no_application_protocol"}

# Every number that a cipher suite of TLS 1.2 and older has, without the two that are signals (0x00FF, 0x5600).
OLD_SUITES = [*range(0x0001, 0x00FF), *range(0xC001, 0xC100), *range(0xCCA8, 0xCCAF), *range(0xD001, 0xD006)]
NEW_SUITES = [0x1301, 0x1302, 0x1303, 0x1304, 0x1305]
NAMES = {0x1301: "TLS_AES_128_GCM_SHA256", 0x1302: "TLS_AES_256_GCM_SHA384", 0x1303: "TLS_CHACHA20_POLY1305_SHA256",
         0xC02B: "ECDHE_ECDSA_AES_128_GCM_SHA256", 0xC02C: "ECDHE_ECDSA_AES_256_GCM_SHA384", 0xCCA9: "ECDHE_ECDSA_CHACHA20_POLY1305_SHA256",
         0xC02F: "ECDHE_RSA_AES_128_GCM_SHA256", 0xC030: "ECDHE_RSA_AES_256_GCM_SHA384", 0xCCA8: "ECDHE_RSA_CHACHA20_POLY1305_SHA256"}


def vector(width, content):
    return len(content).to_bytes(width, "big") + content


def extension(number, content):
    return struct.pack(">H", number) + vector(2, content)


def client_hello(version, suites, alpn=(), compressions=b"\x00"):
    """One record with one ClientHello.

    version: the newest that is offered, and the only one
    """
    numbers = lambda values: b"".join(struct.pack(">H", value) for value in values)
    extensions = [
        extension(0, vector(2, b"\x00" + vector(2, b"localhost"))),
        extension(10, vector(2, numbers([0x001D, 0x0017, 0x0018]))),  # x25519, P-256, P-384
        extension(11, vector(1, b"\x00")),
        extension(13, vector(2, numbers([0x0403, 0x0503, 0x0603, 0x0807, 0x0804, 0x0805, 0x0806, 0x0401, 0x0501, 0x0601, 0x0203, 0x0201]))),
        extension(23, b""),
    ]
    if alpn:
        extensions.append(extension(16, vector(2, b"".join(vector(1, name.encode()) for name in alpn))))
    if version == TLS_1_3:
        extensions.append(extension(43, vector(1, numbers([TLS_1_3]))))
        # Any 32 bytes are a point of that curve.
        extensions.append(extension(51, vector(2, struct.pack(">H", 0x001D) + vector(2, os.urandom(32)))))
    body = struct.pack(">H", min(version, TLS_1_2)) + os.urandom(32) + vector(1, os.urandom(32))
    body += vector(2, numbers(suites)) + vector(1, compressions)
    body += vector(2, b"".join(extensions)) if version > SSL_3 else b""
    message = b"\x01" + vector(3, body)
    return b"\x16" + struct.pack(">H", min(version, TLS_1_0)) + vector(2, message)


class Refused(Exception):
    """An alert, or the end of the connection."""


def read(stream, count):
    data = b""
    while len(data) < count:
        piece = stream.recv(count - len(data))
        if not piece:
            raise Refused("closed")
        data += piece
    return data


def answer_to(address, hello):
    """What a server chose: version, cipher suite, compression.

    Raises Refused with the alert's name.
    """
    with socket.create_connection(address, 10) as stream:
        stream.sendall(hello)
        try:
            kind, _, length = struct.unpack(">BHH", read(stream, 5))
            content = read(stream, length)
        except ConnectionResetError:
            raise Refused("reset") from None
    if kind == 0x15:
        raise Refused(ALERTS.get(content[1], f"alert {content[1]}"))
    assert kind == 0x16 and content[0] == 2, (kind, content[:8])
    version = struct.unpack(">H", content[4:6])[0]
    at = 38 + 1 + content[38]
    suite, compression = struct.unpack(">HB", content[at:at + 3])
    rest = content[at + 5:4 + int.from_bytes(content[1:4], "big")]
    while rest:
        number, size = struct.unpack(">HH", rest[:4])
        if number == 43:
            version = struct.unpack(">H", rest[4:6])[0]
        rest = rest[4 + size:]
    return version, suite, compression


def suites_of(address, version):
    """Every cipher suite that a server takes, the one it likes best first: what it chose is offered no more, until it refuses the rest."""
    offered = list(NEW_SUITES if version == TLS_1_3 else OLD_SUITES)
    taken = []
    while True:
        try:
            chosen, suite, compression = answer_to(address, client_hello(version, offered))
        except Refused as refused:
            return taken, str(refused)
        assert chosen == version and compression == 0, (hex(chosen), compression)
        taken.append(NAMES.get(suite, hex(suite)))
        offered.remove(suite)
