"""Writers of random pictures: each takes a random generator and gives a file and a word on what is in it."""

import struct, zlib
import numpy as np

from parts import exif, gif_lzw, maybe, picture, pixels, saved, size, xmp
from tiffs import any_tiff

# Differences that are meant, each with the reason in docs/pictures.md.
ON_PURPOSE = {
    "broken metadata turns nothing": lambda form, what, damaged, outcome, ours, theirs: damaged and outcome == "REFUSED BY PILLOW" and ("fromhex" in theirs or "not a TIFF file" in theirs or "unpack" in theirs or "required argument" in theirs),
    "planes that Pillow misreads": lambda form, what, damaged, outcome, ours, theirs: form == "tiff" and outcome == "REFUSED BY US" and "in planes" in ours,
    "what a damaged fax shows": lambda form, what, damaged, outcome, ours, theirs: form == "tiff" and damaged and "group" in what,
    "never half of a YCbCr": lambda form, what, damaged, outcome, ours, theirs: form == "tiff" and damaged and ("YCbCr" in what or "photometric 6" in what) and outcome == "REFUSED BY US" and ("its pixels end early" in ours or "its LZW" in ours or "cannot be unpacked" in ours),
    "every pixel, and damage behind them": lambda form, what, damaged, outcome, ours, theirs: form == "png" and damaged and outcome == "REFUSED BY PILLOW" and ("runcated" in theirs or "broken PNG file (chunk" in theirs),
    "what a damaged WebP shows": lambda form, what, damaged, outcome, ours, theirs: form == "webp" and damaged and outcome != "REFUSED BY US" and (theirs is None or "next frame" in theirs),
    "a damaged progressive JPEG, all of it": lambda form, what, damaged, outcome, ours, theirs: form in ("jpeg", "tiff") and damaged and "progressive" in what and outcome != "REFUSED BY US",
    "a damaged TIFF directory": lambda form, what, damaged, outcome, ours, theirs: form == "tiff" and damaged and outcome == "REFUSED BY US" and "its size is told" in ours,
    "never half a picture": lambda form, what, damaged, outcome, ours, theirs: form in ("jpeg", "tiff", "webp") and damaged and ours and outcome == "REFUSED BY US" and ("JPEG image" in ours or "a part of it lies beyond" in ours or "WebP image" in ours and "ends before" not in ours),
}


def jpeg(rng):
    mode = rng.choice(["L", "RGB", "RGB", "RGB", "CMYK"])
    options = dict(quality=rng.choice([1, 30, 75, 90, 100]), **maybe(rng, 0.3, progressive=True), **maybe(rng, 0.3, optimize=True))
    if mode == "RGB":
        options |= rng.choice([dict(subsampling=s) for s in (0, 1, 2)] + [dict(keep_rgb=True)])
    options |= maybe(rng, 0.3, exif=rng.choice([b"", b"Exif\0\0"]) + exif(rng))
    options |= maybe(rng, 0.15, restart_marker_blocks=rng.randrange(1, 9))
    options |= maybe(rng, 0.1, xmp=xmp(rng))
    options |= maybe(rng, 0.1, icc_profile=bytes(rng.randrange(256) for _ in range(rng.choice([10, 70_000]))))
    options |= maybe(rng, 0.1, comment=b"a comment")
    if "exif" in options and not options["exif"].startswith(b"Exif"):
        options["exif"] = b"Exif\0\0" + options["exif"]
    return saved(picture(rng, mode), "JPEG", **options), f"{mode} {sorted(options)}"


def chunk(kind, content):
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png_text(rng):
    value = exif(rng)
    match rng.randrange(6):
        case 0:
            return chunk(b"eXIf", value)
        case 1 | 2:
            text = b"\nexif\n%8d\n" % len(value) + b"\n".join(value.hex().encode()[i : i + 72] for i in range(0, len(value) * 2, 72)) + b"\n"
            kind = rng.randrange(3)
            key = b"Raw profile type exif\0"
            if kind == 0:
                return chunk(b"tEXt", key + text)
            if kind == 1:
                return chunk(b"zTXt", key + b"\0" + zlib.compress(text))
            return chunk(b"iTXt", key + rng.choice([b"\0\0\0\0" + text, b"\1\0\0\0" + zlib.compress(text)]))
        case 3:
            return chunk(b"iTXt", b"XML:com.adobe.xmp\0" + rng.choice([b"\0\0\0\0" + xmp(rng), b"\1\0en\0xmp\0" + zlib.compress(xmp(rng))]))
        case 4:
            return chunk(b"gAMA", struct.pack(">I", rng.choice([45455, 100000, 220000])))
        case _:
            return chunk(b"tEXt", b"Comment\0nothing")


def png(rng):
    """Every depth, colour and way of interlacing, with chunks before and after the pixels."""
    color = rng.choice([0, 2, 3, 4, 6])
    depth = rng.choice({0: [1, 2, 4, 8, 16], 2: [8, 16], 3: [1, 2, 4, 8], 4: [8, 16], 6: [8, 16]}[color])
    interlace = rng.random() < 0.3
    width, height = size(rng)
    channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[color]
    data = pixels(rng, width, height, channels, 1 << depth, np.uint16)
    passes = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)] if interlace else [(0, 0, 1, 1)]
    raw = b""
    for left, top, across, down in passes:
        for row in data[top::down, left::across]:
            if not row.size:
                continue
            if depth == 16:
                row = row.astype(">u2").tobytes()
            elif depth == 8:
                row = row.astype(np.uint8).tobytes()
            else:
                bits = np.unpackbits(row.astype(np.uint8).reshape(-1, 1), axis=1)[:, -depth:].reshape(-1)
                row = np.packbits(bits).tobytes()
            step = max(1, channels * depth // 8)
            kind = rng.choice([0, 0, 1])
            if kind == 1:
                row = bytes((row[i] - (row[i - step] if i >= step else 0)) & 255 for i in range(len(row)))
            raw += bytes([kind]) + row
    packed = zlib.compress(raw, rng.choice([0, 1, 9]))
    body = b""
    if rng.random() < 0.3:
        body += png_text(rng)
    if color == 3:
        body += chunk(b"PLTE", bytes(rng.randrange(256) for _ in range(3 * rng.choice([1 << depth, 1 << depth, max(1, (1 << depth) - 3)]))))
    if rng.random() < 0.3 and color in (0, 2, 3):
        body += chunk(b"tRNS", bytes(rng.randrange(256) for _ in range({0: 2, 2: 6, 3: 1 << depth}[color])))
    if rng.random() < 0.2:
        body += png_text(rng)
    cut = rng.choice([len(packed), max(1, len(packed) // 2), 1, 7])
    for at in range(0, len(packed), cut):
        body += chunk(b"IDAT", packed[at : at + cut])
    if rng.random() < 0.3:
        body += png_text(rng)
    header = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, interlace)
    file = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + body
    end = rng.random()
    if end < 0.9:
        file += chunk(b"IEND", b"")
    return file, f"{width}x{height} depth {depth} color {color} interlace {interlace}"


def apng(rng):
    mode = rng.choice(["L", "RGB", "RGBA", "P", "1"])
    at = size(rng)
    frames = [picture(rng, mode, at) for _ in range(rng.randrange(1, 4))]
    file = saved(frames[0], "PNG", save_all=True, append_images=frames[1:], **maybe(rng, 0.3, default_image=True))
    what = f"animated {mode}"
    if rng.random() < 0.2:
        # A frame without its control, or one more of either.
        chunks, at = [], 8
        while at < len(file):
            end = at + 12 + struct.unpack_from(">I", file, at)[0]
            chunks.append(file[at:end])
            at = end
        places = [index for index, content in enumerate(chunks) if content[4:8] in (b"fcTL", b"fdAT")]
        if places:
            place = rng.choice(places)
            chunks[place : place + 1] = rng.choice([[], [chunks[place]] * 2])
            file, what = file[:8] + b"".join(chunks), what + ", its chunks out of order"
    return file, what


def pillow_png(rng):
    mode = rng.choice(["1", "L", "LA", "I;16", "RGB", "RGBA", "P"])
    image = picture(rng, mode)
    options = maybe(rng, 0.3, exif=exif(rng)) | maybe(rng, 0.2, optimize=True) | maybe(rng, 0.2, bits=rng.choice([1, 2, 4, 8]) if mode == "P" else 8)
    if mode != "P":
        options.pop("bits", None)
    return saved(image, "PNG", **options), f"{mode} {sorted(options)}"


def any_png(rng):
    return rng.choice([png, png, png, pillow_png, apng])(rng)


def gif(rng):
    width, height = size(rng)
    screen = rng.choice([(width, height)] * 3 + [(0, 0), (width + rng.randrange(9), height + rng.randrange(9)), (max(1, width - 2), max(1, height - 2))])
    left, top = rng.choice([(0, 0), (0, 0), (rng.randrange(5), rng.randrange(5))])
    bits = rng.randrange(1, 9)
    interlace = rng.random() < 0.3

    def palette(count):
        ramp = rng.random() < 0.15
        return bytes(value for index in range(count) for value in ([index] * 3 if ramp else [rng.randrange(256) for _ in range(3)]))

    file = rng.choice([b"GIF87a", b"GIF89a"]) + struct.pack("<HH", *screen)
    if rng.random() < 0.7:
        file += bytes([0x80 | (bits - 1), rng.randrange(4), 0]) + palette(1 << bits)
    else:
        file += b"\0\0\0"
    if rng.random() < 0.3:
        file += b"!\xfe\x05hello" + rng.choice([b"\x03abc", b""]) + b"\0"
    if rng.random() < 0.4:
        control = bytes([rng.choice([0, 1, 1, 5, 9, 13]), 0, 0, rng.randrange(1 << bits)])[: rng.choice([4] * 9 + [3])]
        file += b"!\xf9" + bytes([len(control)]) + control + b"\0"
    if rng.random() < 0.2:
        # How often it plays; without that, Pillow reads on.
        file += b"!\xff\x0bNETSCAPE2.0" + rng.choice([b"\x03\x01\0\0"] * 4 + [b"", b"\0\x03\x01\0\0"]) + b"\0"
    flags = 0x40 * interlace
    local = rng.random() < 0.3
    lbits = rng.randrange(1, 9) if local else bits
    file += b"," + struct.pack("<HHHH", left, top, width, height) + bytes([flags | (0x80 | (lbits - 1) if local else 0)])
    if local:
        file += palette(1 << lbits)
    code = max(rng.choice([bits, lbits, 8]), 1)
    data = pixels(rng, width, height, 1, 1 << code)[..., 0]
    if interlace:
        data = np.concatenate([data[first::step] for first, step in ((0, 8), (4, 8), (2, 4), (1, 2))])
    packed = gif_lzw(data.tobytes(), code, rng)
    file += bytes([code])
    block = rng.choice([255, 255, 1, 100])
    for at in range(0, len(packed), block):
        file += bytes([len(packed[at : at + block])]) + packed[at : at + block]
    return file + b"\0;", f"{width}x{height} at {left},{top} on {screen}, code size {code}, interlace {interlace}"


def pillow_gif(rng):
    mode = rng.choice(["P", "L", "RGB", "RGBA", "1"])
    at = size(rng)
    frames = [picture(rng, mode, at) for _ in range(rng.randrange(1, 4))]
    return saved(frames[0], "GIF", save_all=True, append_images=frames[1:], interlace=rng.randrange(2)), f"Pillow's {mode}"


def any_gif(rng):
    return rng.choice([gif, gif, pillow_gif])(rng)


def bmp(rng):
    width, height = size(rng)
    header = rng.choice([12, 40, 40, 40, 52, 56, 64, 108, 124])
    bits = rng.choice([1, 4, 8, 16, 24, 32])
    top_down = rng.random() < 0.2 and header != 12
    compression = 0
    if header != 12 and bits in (16, 24, 32) and rng.random() < 0.5:
        compression = 3
    if header != 12 and bits in (4, 8) and rng.random() < 0.4:
        compression = {8: 1, 4: 2}[bits]
    colors = rng.choice([0, 0, 1 << bits, 2, 5, 17]) if bits <= 8 else rng.choice([0, 0, 0, 3])
    count = colors or (1 << bits if bits <= 8 else 0)
    color_bytes = 3 if header == 12 else 4
    if header == 12:
        colors, count = 0, (1 << bits if bits <= 8 else 0)
        body = struct.pack("<HHHH", width, height, 1, bits)
    else:
        body = struct.pack("<iiHHIIiiII", width, -height if top_down else height, 1, bits, compression, 0, 2835, 2835, colors, 0)
    masks = rng.choice({
        16: [(0xF800, 0x7E0, 0x1F, 0), (0x7C00, 0x3E0, 0x1F, 0)],
        24: [(0xFF0000, 0xFF00, 0xFF, 0)],
        32: [(0xFF0000, 0xFF00, 0xFF, 0), (0xFF000000, 0xFF0000, 0xFF00, 0), (0xFF000000, 0xFF00, 0xFF, 0), (0xFF000000, 0xFF0000, 0xFF00, 0xFF), (0xFF, 0xFF00, 0xFF0000, 0xFF000000), (0xFF0000, 0xFF00, 0xFF, 0xFF000000), (0xFF000000, 0xFF00, 0xFF, 0xFF0000), (0, 0, 0, 0)],
    }.get(bits, [(0, 0, 0, 0)]))
    behind = b""
    if header > 40:
        rest = struct.pack("<IIII", *masks) if compression == 3 or rng.random() < 0.5 else bytes(16)
        body = (body + rest).ljust(header - 4, b"\0")[: header - 4]
    elif compression == 3:
        behind = struct.pack("<III", *masks[:3])
    gray = rng.random() < 0.2 and bits <= 8
    palette = b""
    for index in range(count if bits <= 8 else 0):
        value = [index * 255 if count == 2 else index] * 3 if gray else [rng.randrange(256) for _ in range(3)]
        palette += bytes(min(v, 255) for v in value) + bytes(color_bytes - 3)
    if compression in (1, 2):
        data = b""
        values = pixels(rng, width, height, 1, 16 if bits == 4 else 256)[..., 0]
        for row in values:
            x = 0
            while x < width:
                kind = rng.random()
                if kind < 0.6:
                    run = rng.randrange(1, 9)
                    data += bytes([min(run, 255), row[x] if bits == 8 else row[x] << 4 | row[min(x + 1, width - 1)]])
                    x += run
                elif kind < 0.9 and width - x >= 3:
                    run = rng.randrange(3, min(12, width - x) + 1)
                    part = [int(v) for v in row[x : x + run]]
                    literal = bytes(part) if bits == 8 else bytes(part[i] << 4 | (part[i + 1] if i + 1 < run else 0) for i in range(0, run, 2))
                    data += bytes([0, run]) + literal + bytes(len(literal) % 2)
                    x += run
                else:
                    break
            if rng.random() < 0.05:
                data += bytes([0, 2, rng.randrange(3), rng.randrange(2)])
            data += b"\0\0"
        data += b"\0\1" if rng.random() < 0.8 else b""
    else:
        stride = (width * bits + 31) // 32 * 4
        data = pixels(rng, stride, height, 1)[..., 0].tobytes()
        if rng.random() < 0.1:
            data = data[: len(data) - (stride - (width * bits + 7) // 8)]
    start = 14 + header + len(behind) + len(palette)
    offset = rng.choice([start, start, start, 0, start + 4])
    if offset == start + 4:
        palette += b"\0\0\0\0"
    file = b"BM" + struct.pack("<IHHI", start + len(data), 0, 0, offset) + struct.pack("<I", header) + body + behind + palette + data
    return file, f"{width}x{height} header {header} bits {bits} compression {compression} colors {colors} offset {offset} start {start} gray {gray}"


def pillow_bmp(rng):
    mode = rng.choice(["1", "L", "P", "RGB", "RGBA"])
    return saved(picture(rng, mode), "BMP"), f"Pillow's {mode}"


def any_bmp(rng):
    return rng.choice([bmp, bmp, bmp, pillow_bmp])(rng)


def webp(rng):
    mode = rng.choice(["RGB", "RGBA", "L", "P"])
    options = rng.choice([dict(lossless=True, quality=rng.choice([0, 50, 100])), dict(quality=rng.choice([5, 50, 95]))])
    options |= dict(method=rng.randrange(0, 7)) | maybe(rng, 0.3, exif=rng.choice([b"", b"Exif\0\0"]) + exif(rng)) | maybe(rng, 0.2, xmp=xmp(rng)) | maybe(rng, 0.2, exact=True)
    image = picture(rng, mode)
    if rng.random() < 0.25:
        others = [picture(rng, mode, image.size) for _ in range(rng.randrange(1, 3))]
        options |= dict(save_all=True, append_images=others)
    file = saved(image, "WEBP", **options)
    if b"VP8X" in file[:20] and rng.random() < 0.3:
        # Announce what is not there, or keep silent on what is.
        at = 20
        file = file[:at] + bytes([file[at] ^ rng.choice([0x10, 8, 4, 0x20])]) + file[at + 1 :]
    return file, f"{mode} {sorted(options)}"


def pnm(rng):
    """Words or bytes, any number for full light, comments wherever they may stand."""
    kind = rng.randrange(1, 7)
    width, height = size(rng)
    bits, plain, channels = kind in (1, 4), kind < 4, 3 if kind in (3, 6) else 1
    top = 1 if bits else rng.choice([255, 255, 65535, 1, 2, 15, 100, 127, 256, 1000, 4095, rng.randrange(1, 65536)])

    def comment():
        return rng.choice([b""] * 8 + [b"# a comment\n", b"#\r", b"#x\ny"[:3]])

    def space():
        return comment() + rng.choice([b" ", b"\n", b"\t", b"\r\n", b"  "]) + comment()

    file = b"P%d" % kind + rng.choice([b"\n", b" "]) + comment() + b"%d" % width + space() + b"%d" % height
    file += b"" if bits else space() + b"%d" % top
    file += rng.choice([b"\n", b" ", b"\t"])
    data = pixels(rng, width, height, channels, top + 1, np.int64)
    if plain:
        separator = b"" if bits and rng.random() < 0.5 else None
        for value in data.reshape(-1):
            file += b"%d" % value + (space() if separator is None else separator)
    elif bits:
        file += np.packbits(data[..., 0].astype(bool), axis=1).tobytes()
    else:
        file += data.astype(">u2" if top > 255 else np.uint8).tobytes()
    return file + rng.choice([b"", b"", b"\n", b"P5 1 1 255 x"]), f"P{kind} {width}x{height} of {top}"


def any_pnm(rng):
    if rng.random() < 0.2:
        mode = rng.choice(["1", "L", "I;16", "I", "RGB"])
        return saved(picture(rng, mode), "PPM"), f"Pillow's {mode}"
    return pnm(rng)


FORMATS = {"jpeg": jpeg, "png": any_png, "gif": any_gif, "bmp": any_bmp, "webp": webp, "tiff": any_tiff, "pnm": any_pnm}
