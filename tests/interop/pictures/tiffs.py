"""Writers of random TIFFs: every layout of samples, strips and tiles, planes, ways of packing."""

import struct, zlib
import numpy as np

from parts import gif_lzw, maybe, picture, pixels, saved, size, xmp


def ifd(order, fields, at):
    body, extra = struct.pack(order + "H", len(fields)), b""
    end = at + 2 + 12 * len(fields) + 4
    for tag, kind, values in sorted(fields):
        content = struct.pack(order + f"{len(values)}" + {1: "B", 3: "H", 4: "I", 5: "I", 8: "h", 9: "i", 10: "i", 11: "f", 12: "d"}[kind], *values)
        body += struct.pack(order + "HHI", tag, kind, len(values) // (2 if kind in (5, 10) else 1))
        if len(content) > 4:
            body += struct.pack(order + "I", end + len(extra))
            extra += content + bytes(len(content) % 2)
        else:
            body += content.ljust(4, b"\0")
    return body + b"\0\0\0\0" + extra


def packbits(data):
    out, at = b"", 0
    while at < len(data):
        run = 1
        while at + run < len(data) and run < 128 and data[at + run] == data[at]:
            run += 1
        if run > 1:
            out += bytes([257 - run, data[at]])
        else:
            run = min(5, len(data) - at)
            out += bytes([run - 1]) + data[at : at + run]
        at += run
    return out


def tiff(rng):
    """Layouts that Pillow reads and does not write."""
    order = rng.choice("<>")
    photometric, bits, extra, sample_format, colormap = rng.choice([
        (0, [1], [], 1, 0), (1, [1], [], 1, 0), (0, [2], [], 1, 0), (1, [2], [], 1, 0), (0, [4], [], 1, 0), (1, [4], [], 1, 0),
        (0, [8], [], 1, 0), (1, [8], [], 1, 0), (1, [8], [], 2, 0), (1, [12], [], 1, 0), (0, [16], [], 1, 0), (1, [16], [], 1, 0),
        (1, [16], [], 2, 0), (1, [32], [], 1, 0), (1, [32], [], 2, 0), (1, [32], [], 3, 0), (0, [32], [], 3, 0),
        (1, [8, 8], [0], 1, 0), (1, [8, 8], [1], 1, 0), (1, [8, 8], [2], 1, 0),
        (2, [8] * 3, [], 1, 0), (2, [8] * 4, [], 1, 0), (2, [8] * 4, [0], 1, 0), (2, [8] * 4, [1], 1, 0), (2, [8] * 4, [2], 1, 0), (2, [8] * 4, [999], 1, 0),
        (2, [8] * 5, [0, 0], 1, 0), (2, [8] * 5, [1, 0], 1, 0), (2, [8] * 5, [2, 0], 1, 0), (2, [8] * 6, [1, 0, 0], 1, 0),
        (2, [16] * 3, [], 1, 0), (2, [16] * 4, [], 1, 0), (2, [16] * 4, [0], 1, 0), (2, [16] * 4, [1], 1, 0), (2, [16] * 4, [2], 1, 0),
        (3, [1], [], 1, 2), (3, [2], [], 1, 4), (3, [4], [], 1, 16), (3, [8], [], 1, 256), (3, [8, 8], [0], 1, 256), (3, [8, 8], [2], 1, 256),
        (5, [8] * 4, [], 1, 0), (5, [8] * 5, [0], 1, 0), (5, [16] * 4, [], 1, 0), (6, [8], [], 1, 0), (6, [8] * 3, [], 1, 0), (8, [8] * 3, [], 1, 0), (8, [8] * 3, [], 1, 0),
    ])
    width, height = size(rng)
    fill = 2 if rng.random() < 0.15 else 1
    planar = 2 if len(bits) > 1 and rng.random() < 0.25 else 1
    compression = rng.choice([1, 1, 1, 32773, 8, 8, 32946, 5])
    predictor = rng.choice([1, 2]) if compression in (5, 8, 32946) else 1
    if predictor == 2 and bits[0] not in (8, 16, 32):
        predictor = 1
    planes = len(bits) if planar == 2 else 1
    per_pixel = bits[0] if planar == 2 else sum(bits)
    tiled = rng.random() < 0.25
    chunk_width, chunk_height = (rng.choice([16, 32, 48]), rng.choice([16, 32])) if tiled else (width, rng.choice([1, 3, height, height, 1000]))
    rows = chunk_height if tiled else min(chunk_height, height)
    down = -(-height // rows)
    across = -(-width // chunk_width)
    row_bytes = (chunk_width * per_pixel + 7) // 8
    data, offsets, sizes = b"", [], []
    for _ in range(planes):
        for y in range(down):
            for _ in range(across):
                count = rows if tiled else min(rows, height - y * rows)
                raw = pixels(rng, row_bytes, count, 1)[..., 0].tobytes()
                if bits[0] == 32 and sample_format == 3:
                    values = pixels(rng, row_bytes // 4, count, 1, 400)[..., 0].astype(order + "f4") * np.float32(1.3) - 60
                    raw = values.astype(order + "f4").tobytes()
                elif bits[0] == 32 and rng.random() < 0.8:
                    raw = (pixels(rng, row_bytes // 4, count, 1, 400, np.int32)[..., 0] - 50).astype(order + "i4").tobytes()
                elif bits[0] == 16 and len(bits) == 1 and rng.random() < 0.8:
                    raw = (pixels(rng, row_bytes // 2, count, 1, 400, np.int32)[..., 0] - 50).astype(order + "i2").tobytes()
                # LZW as the first writers had it: GIF's.
                pack = {1: bytes, 5: lambda raw: gif_lzw(raw, 8, rng), 32773: packbits}.get(compression, zlib.compress)
                packed = pack(raw)
                if compression != 1 and fill == 2:
                    packed = bytes(int(f"{byte:08b}"[::-1], 2) for byte in packed)
                offsets.append(8 + len(data))
                sizes.append(len(packed))
                data += packed + bytes(len(packed) % 2)
    fields = [(256, rng.choice([3, 4]), [width]), (257, rng.choice([3, 4]), [height]), (258, 3, bits), (259, 3, [compression]), (262, 3, [photometric]), (277, 3, [len(bits)])]
    if rng.random() < 0.05:
        # More places than the picture has pieces.
        more = [rng.choice(offsets) for _ in range(rng.randrange(1, 4))]
        offsets, sizes = offsets + more, sizes + [sizes[offsets.index(offset)] for offset in more]
    # Early writers called the places of tiles as those of strips.
    places = (324, 325) if tiled and rng.random() < 0.9 else (273, 279)
    fields += [(322, 3, [chunk_width]), (323, 3, [chunk_height])] if tiled else [(278, 4, [chunk_height])]
    fields += [(places[0], 4, offsets), (places[1], 4, sizes)]
    if extra:
        fields.append((338, 3, extra))
    if sample_format != 1 or rng.random() < 0.2:
        fields.append((339, 3, [sample_format] * len(bits)))
    if fill == 2:
        fields.append((266, 3, [2]))
    if planar == 2 or rng.random() < 0.3:
        fields.append((284, 3, [planar]))
    if predictor == 2:
        fields.append((317, 3, [2]))
    if photometric == 6 and len(bits) == 3:
        fields.append((530, 3, [1, 1]))
    if colormap:
        fields.append((320, 3, [rng.randrange(65536) for _ in range(3 * colormap)]))
    if rng.random() < 0.2:
        fields.append((274, rng.choice([3, 4]), [rng.randrange(0, 10)]))
    if rng.random() < 0.05:
        fields.append((700, 1, list(xmp(rng))))
    if len(data) % 2:
        data += b"\0"
    file = (b"II" if order == "<" else b"MM") + struct.pack(order + "HI", 42, 8 + len(data)) + data + ifd(order, fields, 8 + len(data))
    if rng.random() < 0.01:
        file = (b"II\x2b\0\x08\0\0\0" if order == "<" else b"MM\0\x2b\0\x08\0\0") + file[8:]
    return file, f"{order} {width}x{height} photometric {photometric} bits {bits} extra {extra} format {sample_format} fill {fill} planar {planar} compression {compression} predictor {predictor} tiled {tiled}"


def pillow_tiff(rng):
    compression = rng.choice([None, "raw", "tiff_lzw", "tiff_deflate", "tiff_adobe_deflate", "packbits", "jpeg", "group4", "group3", "zstd"])
    mode = rng.choice(["1", "L", "LA", "P", "I;16", "I", "F", "RGB", "RGBA", "CMYK", "YCbCr", "LAB"])
    if compression in ("group4", "group3"):
        mode = "1"
    if compression == "jpeg":
        mode = rng.choice(["L", "RGB", "RGBA", "CMYK", "YCbCr"])
    options = dict(compression=compression) | maybe(rng, 0.2, tiffinfo={274: rng.randrange(1, 9)}) | maybe(rng, 0.2, big_tiff=True)
    if compression in ("tiff_lzw", "tiff_deflate", "tiff_adobe_deflate") and mode in ("L", "RGB", "RGBA") and rng.random() < 0.5:
        options["tiffinfo"] = options.get("tiffinfo", {}) | {317: 2}
    return saved(picture(rng, mode), "TIFF", **options), f"Pillow's {mode} {options}"


def jpeg_tiff(rng):
    """Strips or tiles that are JPEG files, of every colour, with as many samples as pixels or fewer."""
    photometric = rng.choice([0, 1, 2, 2, 5, 6, 6, 6])
    mode = {0: "L", 1: "L", 2: rng.choice(["RGB", "CMYK"]), 5: "CMYK", 6: "RGB"}[photometric]
    options = {0: {}, 1: {}, 2: dict(keep_rgb=True), 5: {}, 6: dict(subsampling=rng.randrange(3))}[photometric]
    # Any four components are a colour and a fourth sample, where the TIFF says so.
    extra = rng.choice([[], [0], [1], [2]]) if photometric == 2 and mode == "CMYK" else []
    if extra or mode == "CMYK":
        options = {}
    options |= dict(quality=rng.choice([30, 75, 95])) | maybe(rng, 0.2, progressive=True) | maybe(rng, 0.2, restart_marker_blocks=rng.randrange(1, 5))
    width, height = size(rng)
    image = picture(rng, mode, (width, height))
    tiled = rng.random() < 0.4
    across, down = (rng.choice([16, 32]), rng.choice([16, 32])) if tiled else (width, rng.choice([height, 16, 32]))
    parts = []
    for top in range(0, height, down):
        for left in range(0, width, across):
            rows = down if tiled else min(down, height - top)
            # Now and then a part has another sampling than the first.
            others = maybe(rng, 0.03, subsampling=rng.randrange(3)) if "subsampling" in options else {}
            parts.append(saved(image.crop((left, top, left + across, top + rows)), "JPEG", **options | others))
    data, offsets = b"", []
    for part in parts:
        offsets.append(8 + len(data))
        data += part + bytes(len(part) % 2)
    samples = len(mode)
    fields = [(256, 3, [width]), (257, 3, [height]), (258, 3, [8] * samples), (259, 3, [7]), (262, 3, [photometric]), (277, 3, [samples])]
    places = (324, 325) if tiled else (273, 279)
    fields += [(322, 3, [across]), (323, 3, [down])] if tiled else [(278, 4, [down])]
    fields += [(338, 3, extra)] if extra else []
    fields += [(places[0], 4, offsets), (places[1], 4, [len(part) for part in parts])]
    if photometric == 6 and rng.random() < 0.7:
        told = {0: [1, 1], 1: [2, 1], 2: [2, 2]}[options["subsampling"]]
        fields.append((530, 3, told if rng.random() < 0.9 else rng.choice([[1, 1], [2, 1], [2, 2], [4, 2], [1, 3]])))
    if rng.random() < 0.2:
        fields.append((274, 3, [rng.randrange(0, 10)]))
    order = rng.choice("<>")
    file = (b"II" if order == "<" else b"MM") + struct.pack(order + "HI", 42, 8 + len(data)) + data + ifd(order, fields, 8 + len(data))
    return file, f"JPEG {width}x{height} photometric {photometric} {options} tiled {tiled}"


def ycbcr_tiff(rng):
    """Blocks of light with two colour differences, which libtiff converts by the factors that the file tells."""
    across, down = rng.choice([(1, 1), (1, 2), (2, 1), (2, 2), (2, 2), (4, 1), (4, 2), (4, 4), (4, 4), (1, 4), (2, 4), (1, 3)])
    width, height = size(rng)
    tiled = rng.random() < 0.4
    chunk_width, rows = (rng.choice([16, 32, 48, 6]), rng.choice([16, 32, 48, 10])) if tiled else (width, rng.choice([1, 3, 4, 8, height, height]))
    planar = (across, down) == (1, 1) and rng.random() < 0.3
    compression = rng.choice([5, 8, 8, 32946, 32773])
    predictor = 2 if compression != 32773 and rng.random() < 0.3 else 1
    data, offsets, sizes = b"", [], []
    for _ in range(3 if planar else 1):
        for y in range(0, height, rows):
            for _ in range(-(-width // chunk_width)):
                count = rows if tiled else min(rows, height - y)
                row_bytes = chunk_width if planar else -(-chunk_width // across) * (across * down + 2)
                raw = pixels(rng, row_bytes, -(-count // down), 1)[..., 0].tobytes()
                packed = {5: lambda raw: gif_lzw(raw, 8, rng), 32773: packbits}.get(compression, zlib.compress)(raw)
                offsets.append(8 + len(data))
                sizes.append(len(packed))
                data += packed + bytes(len(packed) % 2)
    fields = [(256, 3, [width]), (257, 3, [height]), (258, 3, [8, 8, 8]), (259, 3, [compression]), (262, 3, [6]), (277, 3, [3]), (284, 3, [1 + planar])]
    fields += [(322, 3, [chunk_width]), (323, 3, [rows]), (324, 4, offsets), (325, 4, sizes)] if tiled else [(278, 4, [rows]), (273, 4, offsets), (279, 4, sizes)]
    if predictor == 2:
        fields.append((317, 3, [2]))
    if (across, down) != (2, 2) or rng.random() < 0.7:
        fields.append((530, rng.choice([3, 4]), [across, down]))
    if rng.random() < 0.5:
        luma = rng.choice([[299, 587, 114], [2126, 7152, 722], [1, 1, 1], [0, 500, 0], [rng.randrange(1, 2000) for _ in range(3)], [rng.randrange(3) for _ in range(3)]])
        below = rng.choice([1000, 10000, 999, 0])
        fields.append(rng.choice([(529, 5, [part for value in luma for part in (value, below)]), (529, 11, [value / 1000 for value in luma]), (529, 12, [value / -1000 for value in luma]), (529, 3, luma)]))
    if rng.random() < 0.5:
        ends = rng.choice([[0, 255, 128, 255, 128, 255], [15, 235, 128, 240, 128, 240], [16, 235, 16, 240, 16, 240], [rng.randrange(256) for _ in range(6)], [rng.randrange(-9, 9) for _ in range(6)]])
        fields.append(rng.choice([(532, 10, [part for value in ends for part in (value, 1)]), (532, 11, [value + rng.choice([0, 0.3]) for value in ends]), (532, 9, ends)]))
    order = rng.choice("<>")
    file = (b"II" if order == "<" else b"MM") + struct.pack(order + "HI", 42, 8 + len(data)) + data + ifd(order, fields, 8 + len(data))
    return file, f"YCbCr {width}x{height} blocks {across}x{down} planar {planar} compression {compression} predictor {predictor} tiled {tiled and (chunk_width, rows)} rows {rows}"


def any_tiff(rng):
    return rng.choice([tiff, tiff, tiff, pillow_tiff, pillow_tiff, jpeg_tiff, ycbcr_tiff])(rng)
