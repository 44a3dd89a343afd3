"""What is read is what was in the file; what is written is what was meant, or nothing."""

import errno
import io
import struct
import zlib
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms, ImageOps
from PIL.ExifTags import IFD

from blur2blur import images
from blur2blur.errors import DataError, InputError
from blur2blur.images import Photograph, limits, png

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
GREY_PROFILE = SRGB[:16] + b"GRAY" + SRGB[20:]


def noise(*shape: int, levels: int = 256) -> np.ndarray:
    values = np.random.default_rng(5).integers(0, levels, shape)
    return values.astype(np.uint8 if levels == 256 else np.uint16)


def photograph(height: int = 13, width: int = 17, **fields) -> Photograph:
    levels = 255 if fields.get("bit_depth", 8) == 8 else 65535
    pixels = noise(height, width, 3, levels=levels + 1).astype(np.float32) / np.float32(levels)
    return Photograph(pixels=pixels, **fields)


def exif_block(**tags: object) -> bytes:
    block = Image.Exif()
    block[0x010F] = "Acme"
    block[0x0110] = "Camera 1"
    block.get_ifd(0x8769)[0x9003] = "2024:05:06 07:08:09"
    block.get_ifd(0x8769)[0x829A] = 0.5
    block.get_ifd(0x8825)[1] = "N"
    if "orientation" in tags:
        block[0x0112] = tags["orientation"]
    return block.tobytes().removeprefix(b"Exif\x00\x00")


def opened(path: Path) -> Image.Image:
    return Image.open(io.BytesIO(path.read_bytes()))


def tags_of(exif: bytes | None) -> tuple[object, ...]:
    assert exif is not None
    block = Image.Exif()
    block.load(exif)
    inner = block.get_ifd(0x8769)
    gps = block.get_ifd(0x8825)
    return block.get(0x010F), block.get(0x0110), inner.get(0x9003), float(inner[0x829A]), gps.get(1)


class TestRoundTrip:
    @pytest.mark.parametrize("suffix", [".png", ".tif", ".tiff", ".bmp"])
    def test_lossless_8_bit_is_exact(self, tmp_path: Path, suffix: str):
        values = np.arange(256 * 3, dtype=np.float32).reshape(16, 16, 3) % 256
        pixels = values / np.float32(255)
        images.write_rgb(tmp_path / f"a{suffix}", pixels)
        assert np.array_equal(images.read_rgb(tmp_path / f"a{suffix}"), pixels)

    @pytest.mark.parametrize("suffix", [".png", ".tif"])
    def test_all_65536_values_are_exact(self, tmp_path: Path, suffix: str):
        values = np.arange(65536, dtype=np.uint16).reshape(256, 256, 1).repeat(3, axis=2)
        values[..., 1] = values[..., 1].T
        original = Photograph(pixels=values.astype(np.float32) / np.float32(65535), bit_depth=16)
        path = tmp_path / f"a{suffix}"
        images.write(path, original)
        back = images.read(path)
        assert back.bit_depth == 16
        assert np.array_equal(back.pixels, original.pixels)
        other = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        assert np.array_equal(other[..., ::-1], values)

    @pytest.mark.parametrize("suffix", [".png", ".tif", ".webp"])
    @pytest.mark.parametrize("grey", [False, True])
    @pytest.mark.parametrize("bit_depth", [8, 16])
    def test_alpha_is_kept(self, tmp_path: Path, suffix: str, grey: bool, bit_depth: int):
        alpha = photograph(bit_depth=bit_depth).pixels[::-1, :, :1]
        original = photograph(bit_depth=bit_depth, grey=grey, alpha=alpha)
        if grey:
            original = replace(original, pixels=original.pixels[..., :1].repeat(3, axis=2))
        images.write(tmp_path / f"a{suffix}", original)
        back = images.read(tmp_path / f"a{suffix}")
        assert back.alpha is not None
        assert np.abs(back.alpha - original.alpha).max() < (1 / 400 if suffix == ".webp" else 1e-6)
        if suffix != ".webp":
            assert np.array_equal(back.pixels, original.pixels)
            assert back.bit_depth == bit_depth
            assert back.grey == grey

    @pytest.mark.parametrize("suffix", [".png", ".tif", ".bmp", ".jpg"])
    def test_grey_stays_one_channel(self, tmp_path: Path, suffix: str):
        Image.fromarray(noise(9, 11)).save(tmp_path / f"in{suffix}")
        original = images.read(tmp_path / f"in{suffix}")
        images.write(tmp_path / f"out{suffix}", original)
        assert original.grey
        assert opened(tmp_path / f"out{suffix}").mode == "L"
        assert original.pixels.shape == (9, 11, 3)

    @pytest.mark.parametrize("suffix", [".png", ".tif"])
    def test_grey_16_bit(self, tmp_path: Path, suffix: str):
        values = noise(9, 11, levels=65536)
        cv2.imwrite(str(tmp_path / f"in{suffix}"), values)
        original = images.read(tmp_path / f"in{suffix}")
        images.write(tmp_path / f"out{suffix}", original)
        assert (original.grey, original.bit_depth) == (True, 16)
        assert np.array_equal(cv2.imread(str(tmp_path / f"out{suffix}"), -1), values)

    @pytest.mark.parametrize("suffix", [".jpg", ".webp"])
    def test_lossy_formats_stay_close(self, tmp_path: Path, suffix: str):
        smooth = np.tile(np.linspace(0, 1, 64, dtype=np.float32)[:, None], (48, 1, 3))
        images.write_rgb(tmp_path / f"a{suffix}", smooth)
        assert np.abs(images.read_rgb(tmp_path / f"a{suffix}") - smooth).max() < 0.03

    def test_jpeg_colour_is_not_subsampled(self, tmp_path: Path):
        images.write_rgb(tmp_path / "a.jpg", photograph().pixels)
        assert {layer[1:3] for layer in opened(tmp_path / "a.jpg").layer} == {(1, 1)}

    def test_values_are_rounded_and_clamped(self, tmp_path: Path):
        values = np.array([-0.2, 0.4999 / 255, 0.5001 / 255, 1.3], np.float32)
        pixels = np.tile(values[None, :, None], (1, 1, 3))
        images.write_rgb(tmp_path / "a.png", pixels)
        assert images.read_rgb_uint8(tmp_path / "a.png")[0, :, 0].tolist() == [0, 0, 1, 255]

    def test_16_bit_becomes_8_where_the_format_has_no_more(self, tmp_path: Path):
        images.write(tmp_path / "a.bmp", photograph(bit_depth=16))
        assert images.read(tmp_path / "a.bmp").bit_depth == 8


class TestMetadata:
    @pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".webp"])
    @pytest.mark.parametrize("bit_depth", [8, 16])
    def test_exif_and_profile_are_kept(self, tmp_path: Path, suffix: str, bit_depth: int):
        exif = exif_block()
        original = photograph(bit_depth=bit_depth, exif=exif, icc_profile=SRGB)
        images.write(tmp_path / f"a{suffix}", original)
        back = images.read(tmp_path / f"a{suffix}")
        assert tags_of(back.exif) == ("Acme", "Camera 1", "2024:05:06 07:08:09", 0.5, "N")
        assert back.icc_profile == SRGB
        if suffix != ".tif":
            assert back.exif == exif
        images.write(tmp_path / f"b{suffix}", back)
        assert images.read(tmp_path / f"b{suffix}").exif == back.exif

    def test_tiff_to_jpeg_leaves_the_layout_of_the_tiff_behind(self, tmp_path: Path):
        images.write(tmp_path / "a.tif", photograph(exif=exif_block()))
        images.write(tmp_path / "b.jpg", images.read(tmp_path / "a.tif"))
        written = opened(tmp_path / "b.jpg").getexif()
        assert 273 not in written
        assert written[0x010F] == "Acme"

    def test_tiff_is_read_by_others(self, tmp_path: Path):
        original = photograph(300, 400, bit_depth=16, exif=exif_block(), icc_profile=SRGB)
        images.write(tmp_path / "a.tif", original)
        with tifffile.TiffFile(tmp_path / "a.tif") as file:
            page = file.pages[0]
            assert len(page.dataoffsets) > 1
            assert page.iccprofile == SRGB
            values = page.asarray().astype(np.float32)
            assert np.array_equal(values / np.float32(65535), original.pixels)
            assert page.tags["ExifTag"].value["DateTimeOriginal"] == "2024:05:06 07:08:09"

    @pytest.mark.parametrize("orientation", range(1, 9))
    @pytest.mark.parametrize("suffix", [".png", ".tif", ".jpg", ".webp"])
    def test_rotation_agrees_with_pillow(self, tmp_path: Path, suffix: str, orientation: int):
        path = tmp_path / f"a{suffix}"
        block = Image.Exif()
        block[0x0112] = orientation
        options = {"lossless": True} if suffix == ".webp" else {}
        Image.fromarray(noise(8, 24, 3)).save(path, exif=block.tobytes(), **options)
        expected = np.asarray(ImageOps.exif_transpose(opened(path)))
        assert np.array_equal(images.read_rgb_uint8(path), expected)
        assert images.read_size(path) == expected.shape[:2]
        back = images.read(path)
        images.write(tmp_path / f"b{suffix}", back)
        assert images.read_size(tmp_path / f"b{suffix}") == expected.shape[:2]

    def test_rotation_of_16_bit(self, tmp_path: Path):
        images.write(tmp_path / "a.png", photograph(8, 24, bit_depth=16, exif=exif_block()))
        upright = images.read(tmp_path / "a.png")
        images.write(tmp_path / "b.png", replace(upright, exif=exif_block(orientation=6)))
        turned = images.read(tmp_path / "b.png")
        assert np.array_equal(turned.pixels, np.rot90(upright.pixels, -1))

    def test_png_with_exif_behind_the_pixels(self, tmp_path: Path):
        images.write(tmp_path / "a.png", photograph(8, 24))
        data = (tmp_path / "a.png").read_bytes()
        content = exif_block(orientation=8)
        chunk = struct.pack(">I", len(content)) + b"eXIf" + content
        chunk += struct.pack(">I", zlib.crc32(b"eXIf" + content))
        (tmp_path / "a.png").write_bytes(data[:-12] + chunk + data[-12:])
        assert images.read_size(tmp_path / "a.png") == (24, 8)
        assert images.read_rgb(tmp_path / "a.png").shape == (24, 8, 3)

    def test_thumbnail_of_the_old_picture_is_unlinked(self, tmp_path: Path):
        block = exif_block(orientation=3)
        order = "<" if block.startswith(b"II") else ">"
        (entries,) = struct.unpack_from(f"{order}H", block, 8)
        end = 10 + 12 * entries
        compression = struct.pack(f"{order}HHHIHHI", 1, 0x0103, 3, 1, 6, 0, 0)
        linked = block[:end] + struct.pack(f"{order}I", len(block)) + block[end + 4 :] + compression
        before = Image.Exif()
        before.load(linked)
        assert before.get_ifd(IFD.IFD1)
        path = tmp_path / "a.jpg"
        Image.fromarray(noise(8, 8, 3)).save(path, exif=b"Exif\0\0" + linked)
        back = images.read(path)
        after = Image.Exif()
        after.load(back.exif)
        assert not after.get_ifd(IFD.IFD1)
        assert len(back.exif) == len(linked)

    def test_profile_of_other_channels_is_dropped(self, tmp_path: Path):
        grey = photograph(grey=True, icc_profile=GREY_PROFILE)
        images.write(tmp_path / "a.png", grey)
        assert images.read(tmp_path / "a.png").icc_profile == GREY_PROFILE
        images.write(tmp_path / "a.webp", replace(grey, grey=False))
        assert images.read(tmp_path / "a.webp").icc_profile is None

    @pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".webp", ".bmp"])
    def test_time_taken(self, tmp_path: Path, suffix: str):
        images.write(tmp_path / f"a{suffix}", photograph(exif=exif_block()))
        taken = images.read_time_taken(tmp_path / f"a{suffix}")
        assert taken == (None if suffix == ".bmp" else datetime(2024, 5, 6, 7, 8, 9))

    def test_time_that_was_never_set(self, tmp_path: Path):
        unset = exif_block().replace(b"2024:05:06 07:08:09", b"0000:00:00 00:00:00")
        images.write(tmp_path / "a.jpg", photograph(exif=unset))
        assert images.read_time_taken(tmp_path / "a.jpg") is None

    @pytest.mark.filterwarnings("ignore::UserWarning")
    def test_damaged_exif_does_not_stop_the_photograph(self, tmp_path: Path):
        block = exif_block()
        for damaged in (b"MM\0*", block[:30], block.replace(b"\x87\x69", b"\x87\x68"), b"nonsense"):
            for suffix in (".jpg", ".tif", ".png"):
                images.write(tmp_path / f"a{suffix}", photograph(exif=damaged))
                assert images.read_size(tmp_path / f"a{suffix}") == (13, 17)
                assert images.read(tmp_path / f"a{suffix}").pixels.shape == (13, 17, 3)

    def test_exif_too_long_for_jpeg_loses_the_makers_note_alone(self, tmp_path: Path):
        block = Image.Exif()
        block.load(exif_block())
        block.get_ifd(0x8769)[0x927C] = bytes(70_000)
        notes = images.write(tmp_path / "a.jpg", photograph(exif=block.tobytes()[6:]))
        back = images.read(tmp_path / "a.jpg").exif
        assert tags_of(back) == ("Acme", "Camera 1", "2024:05:06 07:08:09", 0.5, "N")
        assert len(back) < 1000
        assert len(notes) == 1
        assert "maker's note" in notes[0]


class TestKindsOfPixels:
    def test_palette(self, tmp_path: Path):
        colour = Image.fromarray(noise(8, 8, 3)).quantize(16)
        colour.save(tmp_path / "a.png")
        back = images.read(tmp_path / "a.png")
        assert back.alpha is None
        assert np.array_equal(
            images.read_rgb_uint8(tmp_path / "a.png"), np.asarray(colour.convert("RGB"))
        )

    def test_palette_with_transparency(self, tmp_path: Path):
        image = Image.fromarray(np.array([[0, 1]], np.uint8), "P")
        image.putpalette([10, 20, 30, 40, 50, 60])
        image.save(tmp_path / "a.png", transparency=1)
        back = images.read(tmp_path / "a.png")
        assert back.alpha.flatten().tolist() == [1.0, 0.0]
        assert images.read_rgb_uint8(tmp_path / "a.png").tolist() == [[[10, 20, 30], [40, 50, 60]]]

    @pytest.mark.parametrize("bits", [1, 2, 4, 8])
    def test_grey_of_which_one_is_clear(self, tmp_path: Path, bits: int):
        levels = np.array([[0, 1, 0, 1, 0, 0, 0, 0]], np.uint8)
        header = struct.pack(">IIBBBBB", 8, 1, bits, 0, 0, 0, 0)
        row = sum(int(level) << bits * (7 - at) for at, level in enumerate(levels[0]))
        chunks = [(b"IHDR", header), (b"tRNS", b"\x00\x01")]
        chunks += [(b"IDAT", zlib.compress(b"\x00" + row.to_bytes(bits))), (b"IEND", b"")]
        data = png.SIGNATURE + b"".join(png.chunk(*each) for each in chunks)
        (tmp_path / "a.png").write_bytes(data)
        images.write(tmp_path / "b.png", images.read(tmp_path / "a.png"))
        found = images.decode(tmp_path / "b.png").values
        assert found[..., 0].tolist() == (levels * (255 // (2**bits - 1))).tolist()
        assert found[..., 1].tolist() == np.where(levels == 1, 0, 255).tolist()

    def test_transparency_that_a_format_cannot_hold_is_told(self, tmp_path: Path):
        half = np.full((2, 2, 1), 0.5, np.float32)
        picture = images.Photograph(pixels=half.repeat(3, axis=2), alpha=half)
        told = "JPEG has no place for transparency: left out"
        assert images.write(tmp_path / "a.jpg", picture) == (told,)
        assert images.write(tmp_path / "a.png", picture) == ()

    def test_one_bit(self, tmp_path: Path):
        Image.fromarray(np.array([[True, False]])).save(tmp_path / "a.png")
        back = images.read(tmp_path / "a.png")
        assert back.grey
        assert back.pixels[0].tolist() == [[1.0] * 3, [0.0] * 3]

    def test_cmyk(self, tmp_path: Path):
        cmyk_profile = SRGB[:16] + b"CMYK" + SRGB[20:]
        colour = Image.new("RGB", (16, 16), (200, 60, 20)).convert("CMYK")
        colour.save(tmp_path / "a.jpg", icc_profile=cmyk_profile, quality=100)
        back = images.read(tmp_path / "a.jpg")
        assert back.icc_profile is None
        assert np.abs(back.pixels[8, 8] * 255 - [200, 60, 20]).max() < 4

    @pytest.mark.parametrize("compression", ["tiff_lzw", "jpeg", "group4"])
    def test_compressed_tiff(self, tmp_path: Path, compression: str):
        image = Image.fromarray(noise(16, 16, 3))
        if compression == "group4":
            image = image.convert("1")
        image.save(tmp_path / "a.tif", compression=compression)
        expected = np.asarray(opened(tmp_path / "a.tif").convert("RGB"))
        assert np.array_equal(images.read_rgb_uint8(tmp_path / "a.tif"), expected)

    @pytest.mark.parametrize(
        "options", [{"tile": (16, 16)}, {"byteorder": ">"}, {"compression": "zlib"}]
    )
    def test_16_bit_tiff_of_others(self, tmp_path: Path, options: dict):
        values = noise(20, 24, 3, levels=65536)
        tifffile.imwrite(tmp_path / "a.tif", values, photometric="rgb", **options)
        expected = values.astype(np.float32) / np.float32(65535)
        assert np.array_equal(images.read_rgb(tmp_path / "a.tif"), expected)

    @pytest.mark.parametrize("orientation", [1, 6])
    def test_16_bit_tiff_rotation(self, tmp_path: Path, orientation: int):
        values = noise(20, 24, 3, levels=65536)
        path = tmp_path / "a.tif"
        tags = [(0x0112, "H", 1, orientation, True)]
        tifffile.imwrite(path, values, photometric="rgb", extratags=tags)
        expected = np.rot90(values, -1) if orientation == 6 else values
        found = np.rint(images.read_rgb(path) * np.float32(65535))
        assert np.array_equal(found, expected)
        assert images.read_size(path) == expected.shape[:2]

    def test_16_bit_lzw_tiff(self, tmp_path: Path):
        values = noise(20, 24, 3, levels=65536)
        cv2.imwrite(str(tmp_path / "a.tif"), values)
        assert opened(tmp_path / "a.tif").tag_v2[259] == 5
        expected = values[..., ::-1].astype(np.float32) / np.float32(65535)
        assert np.array_equal(images.read_rgb(tmp_path / "a.tif"), expected)

    def test_16_bit_is_rounded_to_8(self, tmp_path: Path):
        values = np.array([[0, 128, 129, 65535 - 129, 65535]], np.uint16)
        cv2.imwrite(str(tmp_path / "a.png"), values)
        assert images.read_rgb_uint8(tmp_path / "a.png")[0, :, 0].tolist() == [0, 0, 1, 254, 255]

    def test_content_decides_not_the_suffix(self, tmp_path: Path):
        Image.fromarray(noise(8, 8, 3)).save(tmp_path / "a.png")
        (tmp_path / "a.png").rename(tmp_path / "a.jpg")
        assert images.read_size(tmp_path / "a.jpg") == (8, 8)
        expected = noise(8, 8, 3).astype(np.float32) / np.float32(255)
        assert np.array_equal(images.read_rgb(tmp_path / "a.jpg"), expected)


def png_claiming(width: int, height: int) -> bytes:
    header = struct.pack(">II", width, height) + bytes([8, 2, 0, 0, 0])
    chunk = (
        struct.pack(">I", 13) + b"IHDR" + header + struct.pack(">I", zlib.crc32(b"IHDR" + header))
    )
    data = zlib.compress(b"\0")
    idat = (
        struct.pack(">I", len(data))
        + b"IDAT"
        + data
        + struct.pack(">I", zlib.crc32(b"IDAT" + data))
    )
    return b"\x89PNG\r\n\x1a\n" + chunk + idat + bytes(4) + b"IEND\xaeB\x60\x82"


def encoded(kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    Image.fromarray(noise(64, 64, 3)).save(file, kind, **options)
    return file.getvalue()


def deep_png() -> bytes:
    return cv2.imencode(".png", noise(64, 64, 3, levels=65536))[1].tobytes()


def deep_tiff() -> bytes:
    return cv2.imencode(".tif", noise(64, 64, 3, levels=65536))[1].tobytes()


def animated(kind: str) -> bytes:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    file = io.BytesIO()
    frames[0].save(file, kind, save_all=True, append_images=frames[1:])
    return file.getvalue()


def tiff_of(values: np.ndarray, **options: object) -> bytes:
    file = io.BytesIO()
    photometric = "rgb" if values.ndim == 3 else "minisblack"
    tifffile.imwrite(file, values, photometric=photometric, **options)
    return file.getvalue()


def float_tiff(*shape: int, value: float = 7.5) -> bytes:
    values = np.zeros(shape, np.float32)
    values[0, 0] = value
    return tiff_of(values)


def jpeg_claiming(height: int, width: int) -> bytes:
    data = encoded("JPEG")
    place = data.index(b"\xff\xc0") + 5
    return data[:place] + struct.pack(">HH", height, width) + data[place + 4 :]


def tiff_claiming(tag: int, number: int, **options: object) -> bytes:
    """Return a picture of 16x16 with another number in one of its tags."""
    data = bytearray(tiff_of(np.zeros((16, 16, 3), np.uint16), **options))
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        entry = file.pages[0].tags[tag]
    struct.pack_into("<H" if entry.dtype == 3 else "<I", data, entry.valueoffset, number)
    return bytes(data)


BAD_FILES = {
    "zero.jpg": (b"", "empty"),
    "text.jpg": (b"just some words, no image at all", "not an image"),
    "bomb.png": (png_claiming(200_000, 200_000), "limit"),
    "nothing.png": (png_claiming(0, 8), ""),
    "cut.jpg": (encoded("JPEG")[:1500], "cut short"),
    "cut_end_kept.jpg": (encoded("JPEG")[:1500] + b"\xff\xd9", "cut short"),
    "cut.png": (encoded("PNG")[:1500], "cut short"),
    "cut.tif": (encoded("TIFF")[:1500], ""),
    "cut.webp": (encoded("WEBP")[:700], ""),
    "cut.bmp": (encoded("BMP")[:1500], "cut short"),
    "cut16.png": (deep_png()[:3000], "cut short"),
    "cut16.tif": (deep_tiff()[:3000], ""),
    "corrupt.png": (encoded("PNG")[:200] + b"x" * 50 + encoded("PNG")[250:], "damaged"),
    "animation.png": (animated("PNG"), "animation"),
    "animation.webp": (animated("WEBP"), "animation"),
    "animation.gif": (animated("GIF"), "-o NAME.mp4"),
    "float.tif": (float_tiff(8, 8), "from 0 to 7.5"),
    "nan.tif": (float_tiff(8, 8, 3, value=float("nan")), "nan"),
    "integers.tif": (tiff_of(np.zeros((8, 8, 3), np.int32)), "int32"),
    "more_than_it_can_hold.jpg": (jpeg_claiming(20_000, 20_000), "cannot hold"),
    "more_than_it_can_hold.png": (png_claiming(20_000, 20_000), "cannot hold"),
    "more_than_it_can_hold.tif": (tiff_claiming(257, 30_000_000), "cannot hold"),
    "tiles.tif": (tiff_claiming(322, 60_000, tile=(16, 16)), "tiles are 60000x16"),
    "strips.tif": (tiff_claiming(278, 0, rowsperstrip=8), "damaged"),
    "channels.tif": (tiff_of(np.zeros((8, 8, 40), np.uint8), planarconfig=1), "40 channels"),
}


class TestBadInput:
    @pytest.mark.parametrize("name", BAD_FILES)
    @pytest.mark.filterwarnings("ignore::UserWarning")
    def test_one_line_that_names_the_file(self, tmp_path: Path, name: str, capfd):
        data, word = BAD_FILES[name]
        (tmp_path / name).write_bytes(data)
        for reader in (images.read, images.read_rgb_uint8):
            with pytest.raises(InputError) as caught:
                reader(tmp_path / name)
            message = str(caught.value)
            assert name in message
            assert word in message
            assert "\n" not in message
        assert capfd.readouterr().err == ""

    @pytest.mark.parametrize("name", ["zero.jpg", "text.jpg", "bomb.png", "animation.webp"])
    def test_header_alone_tells(self, tmp_path: Path, name: str):
        (tmp_path / name).write_bytes(BAD_FILES[name][0])
        with pytest.raises(InputError, match=name):
            images.read_size(tmp_path / name)

    def test_missing_and_folder(self, tmp_path: Path):
        with pytest.raises(InputError, match="no file"):
            images.read(tmp_path / "none.jpg")
        with pytest.raises(InputError, match="not a file"):
            images.read_size(tmp_path)

    @settings(max_examples=60, deadline=None, derandomize=True)
    @given(data=st.data())
    @pytest.mark.filterwarnings("ignore")
    def test_any_damage_is_an_input_error_or_a_picture(self, data: st.DataObject, tmp_path_factory):
        kind = data.draw(st.sampled_from(["JPEG", "PNG", "TIFF", "WEBP", "BMP", "16"]))
        content = bytearray(deep_tiff() if kind == "16" else encoded(kind, exif=exif_block()))
        for _ in range(data.draw(st.integers(1, 6))):
            place = data.draw(st.integers(0, min(len(content) - 1, 600)))
            content[place] = data.draw(st.integers(0, 255))
        path = tmp_path_factory.mktemp("damage") / "a.jpg"
        path.write_bytes(bytes(content))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(limits, "MAX_PIXELS", 1_000_000)  # a damaged size may be a huge one
            try:
                back = images.read(path)
            except InputError:
                return
        images.write(path.with_name("b.png"), back)

    def test_pillows_own_limit_is_left_as_it_was(self, tmp_path: Path):
        before = Image.MAX_IMAGE_PIXELS
        images.write_rgb(tmp_path / "a.png", photograph().pixels)
        images.read(tmp_path / "a.png")
        assert before == Image.MAX_IMAGE_PIXELS


class TestWriting:
    def test_unknown_suffix(self, tmp_path: Path):
        with pytest.raises(InputError, match=r"\.webp"):
            images.write_rgb(tmp_path / "a.gif", photograph().pixels)

    def test_not_finite(self, tmp_path: Path):
        pixels = photograph().pixels
        pixels[0, 0, 0] = float("nan")
        with pytest.raises(InputError, match="not finite"):
            images.write_rgb(tmp_path / "a.png", pixels)
        assert list(tmp_path.iterdir()) == []

    def test_batch_is_our_own_mistake(self, tmp_path: Path):
        with pytest.raises(ValueError, match="H W 3"):
            images.write_rgb(tmp_path / "a.png", photograph().pixels[None])

    def test_too_wide_for_the_format(self, tmp_path: Path):
        with pytest.raises(InputError, match="encoded"):
            images.write_rgb(tmp_path / "a.webp", np.zeros((1, 20_000, 3), np.float32))
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize("suffix", sorted(images.WRITTEN_SUFFIXES - {".heic", ".heif", ".hif"}))
    def test_full_disk_leaves_nothing_and_keeps_the_old(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
    ):
        path = tmp_path / f"a{suffix}"
        path.write_bytes(b"old")

        def full(self: Path, data: bytes) -> int:
            with self.open("wb") as file:
                file.write(data[: len(data) // 2])
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(Path, "write_bytes", full)
        with pytest.raises(InputError, match="disk is full"):
            images.write_rgb(path, photograph().pixels)
        assert list(tmp_path.iterdir()) == [path]
        assert path.read_bytes() == b"old"


class TestFindImages:
    def test_sorted_recursive_without_hidden(self, tmp_path: Path):
        for name in ("b.JPG", "a/z.png", "a/notes.txt", ".hidden.png", ".git/c.png", "a/._z.png"):
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).touch()
        found = images.find_images(tmp_path)
        assert found == [tmp_path / "a/z.png", tmp_path / "b.JPG"]

    def test_missing_and_file(self, tmp_path: Path):
        with pytest.raises(DataError, match="no folder"):
            images.find_images(tmp_path / "none")
        (tmp_path / "file.png").touch()
        with pytest.raises(DataError, match="is a file"):
            images.find_images(tmp_path / "file.png")


class TestSharpness:
    def test_falls_with_blur(self):
        image = noise(64, 64, 3)
        values = [images.sharpness(cv2.GaussianBlur(image, (0, 0), s)) for s in (0.5, 1.0, 2.0)]
        assert images.sharpness(image) > values[0] > values[1] > values[2]

    def test_flat_is_zero_and_grey_equals_grey_colour(self):
        assert images.sharpness(np.full((8, 8, 3), 90, np.uint8)) == 0
        grey = noise(32, 32)
        assert images.sharpness(grey) == images.sharpness(np.stack([grey] * 3, axis=2))
