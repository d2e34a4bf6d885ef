"""What random pictures are made of: sizes, pixels, metadata."""

import io, random, struct
import numpy as np
from PIL import Image


def size(rng):
    return rng.choice([1, 2, 3, 7, 8, 15, 16, 17, 31, 33, rng.randrange(1, 90)]), rng.choice([1, 2, 3, 8, 9, 16, 17, rng.randrange(1, 70)])


def pixels(rng, width, height, channels, top=256, dtype=np.uint8):
    noise = np.random.default_rng(rng.randrange(2**32))
    kind = rng.randrange(4)
    if kind == 0:
        data = noise.integers(0, top, (height, width, channels))
    elif kind == 1:
        data = np.full((height, width, channels), noise.integers(0, top))
    elif kind == 2:
        data = noise.integers(0, top, (height // 4 + 1, width // 4 + 1, channels)).repeat(4, 0).repeat(4, 1)[:height, :width]
    else:
        y, x = np.mgrid[0:height, 0:width]
        steps = noise.integers(0, max(top // 16, 2), (2, channels))
        data = (x[..., None] * steps[0] + y[..., None] * steps[1]) % top
    return data.astype(dtype)


def picture(rng, mode, at=None):
    width, height = at or size(rng)
    match mode:
        case "1":
            return Image.fromarray(pixels(rng, width, height, 1)[..., 0]).convert("1")
        case "L":
            return Image.fromarray(pixels(rng, width, height, 1)[..., 0])
        case "P":
            image = Image.fromarray(pixels(rng, width, height, 1, rng.choice([2, 4, 16, 200, 256]))[..., 0])
            image = image.convert("P") if rng.random() < 0.2 else image
            if image.mode == "L":
                image = Image.frombytes("P", image.size, image.tobytes())
                image.putpalette([rng.randrange(256) for _ in range(3 * rng.choice([2, 5, 16, 128, 256]))])
            return image
        case "LA" | "PA":
            return Image.merge("LA", [picture(rng, "L", (width, height)) for _ in range(2)])
        case "I;16":
            return Image.fromarray(pixels(rng, width, height, 1, 65536, np.uint16)[..., 0])
        case "I":
            return Image.fromarray(pixels(rng, width, height, 1, 70000, np.int32)[..., 0] - 300)
        case "F":
            return Image.fromarray(pixels(rng, width, height, 1, 300, np.float32)[..., 0] * np.float32(1.37) - 20)
        case "YCbCr" | "LAB" | "HSV":
            return Image.fromarray(pixels(rng, width, height, 3), mode) if False else Image.merge(mode, [picture(rng, "L", (width, height)) for _ in range(3)])
        case _:
            channels = len(mode)
            return Image.merge(mode, [picture(rng, "L", (width, height)) for _ in range(channels)])


def exif(rng):
    """An EXIF block with an orientation, of any kind, in any form."""
    order = rng.choice("<>")
    kind = rng.choice([3, 3, 3, 3, 4, 1, 5, 8, 9, 11, 12, 2, 7])
    value = rng.choice([1, 2, 3, 4, 5, 6, 7, 8, 0, 9])
    content = {1: "B", 2: "B", 3: "H", 4: "I", 7: "B", 8: "h", 9: "i", 11: "f", 12: "d"}.get(kind)
    content = struct.pack(order + content, value) if content else struct.pack(order + "II", value * 2, 2)
    fields = [(274, kind, 1, content)]
    if rng.random() < 0.3:
        fields.insert(0, (256, 3, 1, struct.pack(order + "H", 5)))
    if rng.random() < 0.1:
        fields.append((274, 3, 1, struct.pack(order + "H", rng.randrange(1, 9))))
    head = (b"II" if order == "<" else b"MM") + struct.pack(order + "HI", 42, 8)
    body, extra = struct.pack(order + "H", len(fields)), b""
    end = 8 + 2 + 12 * len(fields) + 4
    for tag, kind, count, content in fields:
        body += struct.pack(order + "HHI", tag, kind, count)
        if len(content) > 4:
            body += struct.pack(order + "I", end + len(extra))
            extra += content
        else:
            body += content.ljust(4, b"\0")
    return head + body + b"\0\0\0\0" + extra


def xmp(rng):
    value = rng.randrange(0, 10)
    return rng.choice([
        f'<x:xmpmeta><rdf:Description tiff:Orientation="{value}"/></x:xmpmeta>',
        f"<x><tiff:Orientation>{value}</tiff:Orientation></x>",
        f"<x tiff:Orientation='{value}'/>",
        "<x/>",
    ]).encode()


def saved(image, form, **options):
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def maybe(rng, chance, **options):
    return options if rng.random() < chance else {}


def gif_lzw(data, bits, rng):
    """Codes as any encoder writes them, at times with more clear codes than needed."""
    clear, end = 1 << bits, (1 << bits) + 1
    table, size, out, buffer, count = {}, bits + 1, bytearray(), 0, 0

    def put(code):
        nonlocal buffer, count
        buffer |= code << count
        count += size
        while count >= 8:
            out.append(buffer & 255)
            buffer >>= 8
            count -= 8

    def reset():
        nonlocal table, size
        table, size = {bytes([value]): value for value in range(clear)}, bits + 1

    reset()
    put(clear)
    string, next_code = b"", end + 1
    for value in data:
        longer = string + bytes([value])
        if longer in table:
            string = longer
            continue
        put(table[string])
        if next_code < 4096:
            table[longer] = next_code
            if next_code == 1 << size and size < 12:
                size += 1
            next_code += 1
        elif rng.random() < 0.8:
            put(clear)
            reset()
            next_code = end + 1
        string = bytes([value])
    if string:
        put(table[string])
    if rng.random() < 0.95:
        put(end)
    if count:
        out.append(buffer & 255)
    return bytes(out)
