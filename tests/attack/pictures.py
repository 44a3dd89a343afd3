"""Image files of every kind that is read, and the many ways to spoil them."""

import io
import random
import struct
import zlib
from collections.abc import Callable
from functools import cache

import numpy as np
import skimage.data
import tifffile
from PIL import Image, ImageCms

SUFFIX = ".jpg"  # whatever is in them: the content decides
_INTERESTING = (0, 1, 2, 127, 128, 255, 256, 32767, 65535, 1 << 20, (1 << 31) - 1, (1 << 32) - 1)


@cache
def seeds() -> dict[str, bytes]:
    """Return name -> a good file, small, with all the metadata that its kind carries."""
    rgb = skimage.data.astronaut()[40:88, 200:264]
    grey = rgb[..., 1]
    alpha = np.dstack([rgb, 255 - grey])
    image = Image.fromarray(rgb)
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "Acme"
    exif.get_ifd(0x8769)[0x9003] = "2024:05:06 07:08:09"
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    carried = {"exif": exif.tobytes(), "icc_profile": profile}
    deep = rgb.astype(np.uint16) * 257

    def pil(kind: str, picture: Image.Image = image, **options: object) -> bytes:
        file = io.BytesIO()
        picture.save(file, kind, **options)
        return file.getvalue()

    def tiff(values: np.ndarray, **options: object) -> bytes:
        file = io.BytesIO()
        tifffile.imwrite(file, values, **options)
        return file.getvalue()

    found = {
        "jpeg": pil("JPEG", **carried, xmp=b"<x:xmpmeta/>", comment=b"c", dpi=(72, 72)),
        "jpeg progressive": pil("JPEG", progressive=True, **carried),
        "jpeg grey": pil("JPEG", Image.fromarray(grey)),
        "jpeg cmyk": pil("JPEG", image.convert("CMYK")),
        "png": pil("PNG", **carried),
        "png palette": pil("PNG", image.quantize(16), transparency=3),
        "png alpha": pil("PNG", Image.fromarray(alpha)),
        "png 1 bit": pil("PNG", Image.fromarray(grey > 128)),
        "tiff": pil("TIFF", icc_profile=profile, tiffinfo={274: 6}, compression="tiff_lzw"),
        "tiff exif": pil("TIFF", **carried),
        "tiff jpeg": pil("TIFF", compression="jpeg"),
        "tiff fax": pil("TIFF", Image.fromarray(grey > 128), compression="group4"),
        "tiff palette": pil("TIFF", image.quantize(16)),
        "tiff 16": tiff(deep, compression="zlib", predictor=True, rowsperstrip=16),
        "tiff tiles": tiff(deep, tile=(16, 16), photometric="rgb"),
        "tiff planes": tiff(deep.transpose(2, 0, 1), planarconfig="separate", photometric="rgb"),
        "tiff float": tiff(rgb.astype(np.float32) / 255, photometric="rgb", bigtiff=True),
        "tiff cmyk": tiff(alpha, photometric="separated"),
        "tiff pages": tiff(np.stack([rgb] * 3), photometric="rgb"),
        "dng": tiff(
            deep[..., 0],
            photometric=32803,
            extratags=[(50706, 1, 4, (1, 4, 0, 0), True), (33422, 1, 4, (0, 1, 1, 2), True)],
        ),
        "bmp": pil("BMP"),
        "bmp rle": _bmp_rle(),
        "webp": pil("WEBP", **carried, quality=80),
        "webp lossless": pil("WEBP", Image.fromarray(alpha), lossless=True),
        "gif": pil("GIF", image.quantize(16)),
        "gif animated": pil("GIF", image, save_all=True, append_images=[image.rotate(90)] * 2),
        "avif": pil("AVIF", **carried),
    }
    import pillow_heif
    import pillow_jxl  # noqa: F401 (which teaches Pillow)

    heif = io.BytesIO()
    pillow_heif.from_pillow(image).save(heif, quality=60, exif=exif.tobytes())
    return found | {"heic": heif.getvalue(), "jxl": pil("JXL"), "png 16": _deep_png(deep)}


def _deep_png(values: np.ndarray) -> bytes:
    height, width, _ = values.shape
    rows = b"".join(b"\x00" + row.astype(">u2").tobytes() for row in values)
    header = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(*each) for each in chunks)


def _chunk(kind: bytes, content: bytes) -> bytes:
    return (
        struct.pack(">I", len(content))
        + kind
        + content
        + struct.pack(">I", zlib.crc32(kind + content))
    )


def _bmp_rle() -> bytes:
    palette = b"".join(bytes([i, i, i, 0]) for i in range(256))
    rows = b"".join(bytes([32, row, 32, 255 - row, 0, 0]) for row in range(48)) + b"\x00\x01"
    offset = 14 + 40 + len(palette)
    head = struct.pack("<IiiHHIIiiII", 40, 64, 48, 1, 8, 1, len(rows), 0, 0, 256, 0)
    return struct.pack("<2sIHHI", b"BM", offset + len(rows), 0, 0, offset) + head + palette + rows


def case(number: int, seed: int) -> tuple[str, bytes]:
    """Return what was done to what, and the spoilt file; the same for equal numbers."""
    rng = random.Random(f"{seed} {number}")
    name = rng.choice(sorted(seeds()))
    way = rng.choice(sorted(WAYS))
    data = WAYS[way](rng, seeds()[name])
    if rng.random() < 0.3:
        data = WAYS[rng.choice(sorted(WAYS))](rng, data)
    return f"{name}, {way}", data


def _bits(rng: random.Random, data: bytes) -> bytes:
    spoilt = bytearray(data)
    for _ in range(rng.choice((1, 2, 8, 64))):
        spoilt[rng.randrange(len(spoilt))] ^= 1 << rng.randrange(8)
    return bytes(spoilt)


def _head(rng: random.Random, data: bytes) -> bytes:
    spoilt = bytearray(data)
    for _ in range(rng.randint(1, 6)):
        spoilt[rng.randrange(min(400, len(spoilt)))] = rng.randrange(256)
    return bytes(spoilt)


def _truncated(rng: random.Random, data: bytes) -> bytes:
    return data[: rng.randrange(1, len(data))]


def _truncated_with_end(rng: random.Random, data: bytes) -> bytes:
    cut = rng.randrange(1, len(data))
    return data[:cut] + data[max(cut, len(data) - 12) :]


def _removed(rng: random.Random, data: bytes) -> bytes:
    start = rng.randrange(len(data))
    return data[:start] + data[start + rng.choice((1, 2, 4, 16, 200)) :]


def _spliced(rng: random.Random, data: bytes) -> bytes:
    other = seeds()[rng.choice(sorted(seeds()))]
    cut, start = rng.randrange(len(data)), rng.randrange(len(other))
    return data[:cut] + other[start : start + rng.choice((4, 40, 4000))] + data[cut:]


def _numbers(rng: random.Random, data: bytes) -> bytes:
    """Put numbers at the ends of their ranges where sizes, counts and offsets may be."""
    spoilt = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        form = rng.choice(("<H", ">H", "<I", ">I"))
        size = struct.calcsize(form)
        place = rng.randrange(max(1, min(len(spoilt), 1500) - size))
        value = rng.choice(_INTERESTING) & ((1 << 8 * size) - 1)
        if place + size <= len(spoilt):
            struct.pack_into(form, spoilt, place, value)
    return bytes(spoilt)


def _declared_size(rng: random.Random, data: bytes) -> bytes:
    """Write a huge size over every number that may be width or height."""
    side = rng.choice((20_000, 22_000, 65_500, 1_000_000))
    for form in ("<H", ">H", "<I", ">I"):
        for number in (64, 48):
            if side < 1 << 8 * struct.calcsize(form):
                data = data.replace(struct.pack(form, number), struct.pack(form, side), 3)
    return _repaired(data)


def _blocks(rng: random.Random, data: bytes) -> bytes:
    """Drop, double, swap or rename whole chunks of PNG, or blocks of another file."""
    if data[:4] != b"\x89PNG":
        step = rng.choice((4, 12, 64))
        parts = [data[at : at + step] for at in range(0, len(data), step)]
    else:
        parts, place = [data[:8]], 8
        while place < len(data):
            (length,) = struct.unpack_from(">I", data.ljust(place + 4, b"\x00"), place)
            parts.append(data[place : place + 12 + length])
            place += 12 + length
    at, other = rng.randrange(len(parts)), rng.randrange(len(parts))
    edit = rng.choice(("drop", "double", "swap", "rename"))
    if edit == "drop":
        del parts[at]
    elif edit == "double":
        parts.insert(other, parts[at])
    elif edit == "swap":
        parts[at], parts[other] = parts[other], parts[at]
    else:
        kinds = (b"PLTE", b"tRNS", b"iCCP", b"eXIf", b"acTL", b"IDAT", b"gAMA", b"cHRM", b"cICP")
        parts[at] = parts[at][:4] + rng.choice(kinds) + parts[at][8:]
    return _repaired(b"".join(parts))


def _tags(rng: random.Random, data: bytes) -> bytes:
    """Change type, count or value of a few entries of the first directory of a TIFF stream."""
    spoilt = bytearray(data)
    start = max(data.find(b"II*\x00"), 0) if b"II*\x00" in data else data.find(b"MM\x00*")
    if start < 0 or len(data) < start + 10:
        return _numbers(rng, data)
    order = "<" if data[start] == 73 else ">"
    (first,) = struct.unpack_from(f"{order}I", data, start + 4)
    if start + first + 2 > len(data):
        return _bits(rng, data)
    (count,) = struct.unpack_from(f"{order}H", data, start + first)
    for _ in range(rng.randint(1, 3)):
        place = start + first + 2 + 12 * rng.randrange(max(1, min(count, 60)))
        if place + 12 > len(data):
            continue
        field = rng.choice(("tag", "kind", "count", "value"))
        if field == "tag":
            tags = (34675, 700, 33723, 34377, 270, 274, 282, 258, 277, 322, 323, 317, 320, 339)
            struct.pack_into(f"{order}H", spoilt, place, rng.choice(tags))
        elif field == "kind":
            struct.pack_into(f"{order}H", spoilt, place + 2, rng.randrange(19))
        else:
            at = place + (4 if field == "count" else 8)
            struct.pack_into(f"{order}I", spoilt, at, rng.choice(_INTERESTING))
    return bytes(spoilt)


def _repaired(data: bytes) -> bytes:
    """Return a PNG file with checksums that are right again, anything else as it is."""
    if data[:4] != b"\x89PNG":
        return data
    parts, place = [data[:8]], 8
    while place + 8 <= len(data):
        (length,) = struct.unpack_from(">I", data, place)
        parts.append(_chunk(data[place + 4 : place + 8], data[place + 8 : place + 8 + length]))
        place += 12 + length
    return b"".join(parts)


WAYS: dict[str, Callable[[random.Random, bytes], bytes]] = {
    "bits": _bits,
    "head": _head,
    "cut short": _truncated,
    "cut short, end kept": _truncated_with_end,
    "bytes removed": _removed,
    "spliced": _spliced,
    "numbers": _numbers,
    "declared size": _declared_size,
    "blocks": _blocks,
    "tags": _tags,
}
