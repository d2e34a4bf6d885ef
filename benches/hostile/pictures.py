"""Pictures that are small to send and large to decode, made here byte by byte; each is valid unless it says otherwise.

Sides are given by the caller: what the server's limits allow is the worst that it has to bear.
"""
import struct
import zlib


def png(width, height, depth=8, colour=2, interlaced=False, text_bytes=0):
    """Black. `colour` as in PNG: 0 gray, 2 RGB, 6 RGBA; `text_bytes` of comments before the pixels."""
    channels = {0: 1, 2: 3, 6: 4}[colour]
    bits = channels * depth
    rows = adam7(width, height) if interlaced else [(width, height)]
    packer = zlib.compressobj(1)
    parts = []
    for pass_width, pass_height in rows:
        row = bytes(1 + (pass_width * bits + 7) // 8)
        many = row * max(1, (1 << 20) // len(row))
        whole, rest = divmod(pass_height * len(row), len(many))
        parts += [packer.compress(many) for _ in range(whole)] + [packer.compress(many[:rest])]
    parts.append(packer.flush())
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, int(interlaced))
    texts = chunk(b"tEXt", b"Comment\0" + b"x" * 1000) * (text_bytes // 1020)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + texts + chunk(b"IDAT", b"".join(parts)) + chunk(b"IEND", b"")


def chunk(kind, payload):
    return struct.pack(">I", len(payload)) + kind + payload + struct.pack(">I", zlib.crc32(kind + payload))


def adam7(width, height):
    """The sizes of the seven passes."""
    starts = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
    sizes = [(-(-(width - x) // dx), -(-(height - y) // dy)) for x, y, dx, dy in starts]
    return [(w, h) for w, h in sizes if w > 0 and h > 0]


def gif_of_one_pixel(width, height):
    """35 bytes: one pixel on a screen of this size."""
    return (b"GIF89a" + struct.pack("<HH", width, height) + b"\x80\0\0" + b"\0\0\0\xff\xff\xff"
            + b",\0\0\0\0\x01\0\x01\0\0" + b"\x02\x02D\x01\0" + b";")


def jpeg(width, height, channels=3, progressive=False, exif_orientation=None):
    """Gray in the middle: every block is two bits, all zero. `channels`: 1 gray, 3 YCbCr, 4 CMYK."""
    def segment(marker, payload):
        return b"\xff" + bytes([marker]) + struct.pack(">H", len(payload) + 2) + payload

    out = b"\xff\xd8"
    if exif_orientation:
        tiff = b"MM\0*" + struct.pack(">IHHHIHHI", 8, 1, 0x112, 3, 1, exif_orientation, 0, 0)
        out += segment(0xE1, b"Exif\0\0" + tiff)
    out += segment(0xDB, b"\0" + b"\x01" * 64)
    components = b"".join(bytes([index + 1, 0x11, 0]) for index in range(channels))
    out += segment(0xC2 if progressive else 0xC0, struct.pack(">BHHB", 8, height, width, channels) + components)
    # One code of one bit: no difference of DC; end of block.
    table = bytes([1] + [0] * 15) + b"\0"
    out += segment(0xC4, b"\x00" + table + b"\x10" + table)
    blocks = (-(-width // 8)) * (-(-height // 8))
    scan = b"".join(bytes([index + 1, 0]) for index in range(channels))
    if progressive:
        # The first scan has DC alone, one bit a block; then one AC scan for each channel.
        out += segment(0xDA, bytes([channels]) + scan + b"\0\0\0") + bits(blocks * channels)
        for index in range(channels):
            out += segment(0xDA, bytes([1, index + 1, 0]) + b"\x01\x3f\0") + bits(blocks)
    else:
        out += segment(0xDA, bytes([channels]) + scan + b"\0\x3f\0") + bits(blocks * channels * 2)
    return out + b"\xff\xd9"


def bits(count):
    """So many zero bits, filled up with ones as JPEG has it."""
    whole, rest = divmod(count, 8)
    if not rest:
        return bytes(whole)
    last = 0xFF >> rest
    return bytes(whole) + bytes([last])


class BitWriter:
    """Bits, the lowest first, as WebP has them."""

    def __init__(self):
        self.value = self.length = 0

    def put(self, value, length):
        self.value |= value << self.length
        self.length += length
        return self

    def bytes(self):
        return self.value.to_bytes((self.length + 7) // 8, "little")


def vp8l(width, height):
    """A lossless WebP frame of one colour: five codes of one symbol, so that no pixel takes a bit."""
    writer = BitWriter().put(0x2F, 8).put(width - 1, 14).put(height - 1, 14).put(1, 1).put(0, 3)
    writer.put(0, 1).put(0, 1).put(0, 1)
    for _ in range(5):
        writer.put(1, 1).put(0, 1).put(0, 1).put(0, 1)
    return writer.bytes() + bytes(8)


def riff(kind, payload):
    return kind + struct.pack("<I", len(payload)) + payload + bytes(len(payload) % 2)


def webp(width, height, frames=0):
    """Still, or animated with so many frames."""
    if not frames:
        body = riff(b"VP8L", vp8l(width, height))
    else:
        size = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
        body = riff(b"VP8X", b"\x02\0\0\0" + size) + riff(b"ANIM", b"\0\0\0\0\0\0")
        one = riff(b"ANMF", bytes(6) + size + b"\x64\0\0\0" + riff(b"VP8L", vp8l(width, height)))
        body += one * frames
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body


def bmp(width, height):
    """One bit a pixel."""
    row = (width + 31) // 32 * 4
    head = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 1, 0, 0, 0, 0, 2, 0) + b"\0\0\0\0\xff\xff\xff\0"
    return b"BM" + struct.pack("<IHHI", 14 + len(head) + row * height, 0, 0, 14 + len(head)) + head + bytes(row * height)


def tiff(width, height, channels=3, depth=8):
    """Deflate, in strips of about a megabyte."""
    row = width * channels * depth // 8
    rows = max(1, (1 << 20) // row)
    count = -(-height // rows)
    whole, last = zlib.compress(bytes(row * rows), 1), zlib.compress(bytes(row * (height - rows * (count - 1))), 1)
    strips = [whole] * (count - 1) + [last]
    offsets, at = [], 8
    for strip in strips:
        offsets.append(at)
        at += len(strip)
    data = b"".join(strips)
    extra = b""

    def place(values, code):
        nonlocal extra
        packed = struct.pack(f"<{len(values)}{code}", *values)
        if len(packed) <= 4:
            return packed.ljust(4, b"\0")
        where = 8 + len(data) + len(extra)
        extra += packed
        return struct.pack("<I", where)

    entries = [(256, 4, [width]), (257, 4, [height]), (258, 3, [depth] * channels), (259, 3, [8]),
               (262, 3, [{1: 1, 3: 2, 4: 5}[channels]]), (273, 4, offsets), (277, 3, [channels]), (278, 4, [rows]),
               (279, 4, [len(strip) for strip in strips])]
    packed = b""
    for tag, kind, values in entries:
        field = place(values, "H" if kind == 3 else "I")
        packed += struct.pack("<HHI", tag, kind, len(values)) + field
    directory = struct.pack("<H", len(entries)) + packed + struct.pack("<I", 0)
    return b"II*\0" + struct.pack("<I", 8 + len(data) + len(extra)) + data + extra + directory


def worst(megapixels):
    """Every kind at a size of so many megapixels: name and bytes, one at a time because some take a while."""
    side = int((megapixels * 1e6) ** 0.5)
    yield "jpeg, gray", jpeg(side, side, 1)
    yield "jpeg, ycbcr", jpeg(side, side, 3)
    yield "jpeg, ycbcr, turned", jpeg(side, side, 3, exif_orientation=6)
    yield "jpeg, cmyk", jpeg(side, side, 4)
    yield "jpeg, progressive ycbcr", jpeg(side, side, 3, progressive=True)
    yield "jpeg, progressive cmyk", jpeg(side, side, 4, progressive=True)
    yield "png, rgb", png(side, side)
    yield "png, rgba of 16 bits", png(side, side, 16, 6)
    yield "png, interlaced rgba of 16 bits", png(side, side, 16, 6, interlaced=True)
    yield "gif of one pixel", gif_of_one_pixel(side, side)
    yield "webp", webp(min(side, 16383), min(side, 16383))
    yield "webp, animated", webp(min(side, 16383), min(side, 16383), frames=3)
    yield "bmp", bmp(side, side)
    yield "tiff, rgb", tiff(side, side)
    yield "tiff, cmyk of 16 bits", tiff(side, side, 4, 16)
