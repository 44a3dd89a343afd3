"""Every kind of image file is told by its content, and each layout gives the values it holds."""

import io
import struct
import zlib
from pathlib import Path
from unittest.mock import Mock

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image, ImageOps

from blur2blur import images
from blur2blur.errors import InputError
from blur2blur.images import kinds
from blur2blur.images.boundary import OwnMistakeWarning


def noise(*shape: int, levels: int = 256) -> np.ndarray:
    values = np.random.default_rng(5).integers(0, levels, shape)
    return values.astype(np.uint8 if levels == 256 else np.uint16)


def smooth(height: int = 24, width: int = 40) -> np.ndarray:
    """Return a picture that lossy formats keep, without symmetry: uint8 `H W 3`."""
    down, across = np.mgrid[0:height, 0:width] / max(height, width)
    return np.stack([255 * across, 255 * down, 120 + 60 * across], axis=2).astype(np.uint8)


def saved(kind: str, values: np.ndarray, **options: object) -> bytes:
    file = io.BytesIO()
    Image.fromarray(values).save(file, kind, **options)
    return file.getvalue()


def opened(path: Path) -> Image.Image:
    return Image.open(io.BytesIO(path.read_bytes()))


FORMATS = {"JPEG": ".jpg", "PNG": ".png", "TIFF": ".tif", "BMP": ".bmp", "WEBP": ".webp"}
FORMATS |= {"GIF": ".gif", "AVIF": ".avif"}


class TestContentDecides:
    @pytest.mark.parametrize("kind", FORMATS)
    def test_every_format_under_every_suffix(self, tmp_path: Path, kind: str):
        data = saved(kind, smooth())
        for suffix in FORMATS.values():
            path = tmp_path / f"a{suffix}"
            path.write_bytes(data)
            raster = images.decode(path)
            error = np.abs(images.read_rgb_uint8(path).astype(int) - smooth())
            assert error.mean() < 6
            assert images.read_size(path) == (24, 40)
            assert (raster.notes == ()) == (suffix == FORMATS[kind])

    @pytest.mark.parametrize("suffix", [".jfif", ".jpe", ".jfi", ".mpo", ".JPG"])
    def test_other_names_of_jpeg(self, tmp_path: Path, suffix: str):
        path = tmp_path / f"a{suffix}"
        path.write_bytes(saved("JPEG", smooth()))
        assert images.decode(path).notes == ()
        images.write(path, images.read(path))
        assert path.read_bytes()[:2] == b"\xff\xd8"

    def test_wrong_suffix_is_named(self, tmp_path: Path):
        path = tmp_path / "a.jpg"
        path.write_bytes(saved("PNG", smooth()))
        assert images.decode(path).notes == ("it is a PNG file, whatever its suffix .jpg says",)

    def test_brands_of_one_container(self):
        def container(major: bytes, *others: bytes) -> bytes:
            content = b"ftyp" + major + bytes(4) + b"".join(others)
            return struct.pack(">I", len(content) + 4) + content

        assert kinds.kind_of(container(b"heic", b"mif1")) == "HEIC"
        assert kinds.kind_of(container(b"mif1", b"avif", b"miaf")) == "AVIF"
        assert kinds.kind_of(container(b"crx ", b"isom")) == "RAW"
        assert kinds.kind_of(container(b"isom", b"mp42")) is None

    def test_camera_files_built_like_tiff(self):
        sensor = noise(8, 8, levels=65536)
        for tags in (
            [(50706, "B", 4, b"\x01\x04\x00\x00", True)],
            [(262, "H", 1, 32803, True)],
        ):
            file = io.BytesIO()
            tifffile.imwrite(file, sensor, photometric="cfa", extratags=tags[:1])
            assert kinds.kind_of(file.getvalue()) == "RAW"
        file = io.BytesIO()
        tifffile.imwrite(file, sensor)
        assert kinds.kind_of(file.getvalue()) == "TIFF"

    @pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP"])
    def test_animations_are_told_from_pictures(self, tmp_path: Path, kind: str):
        frames = [Image.fromarray(noise(8, 8, 3)) for _ in range(2)]
        frames[0].save(tmp_path / "one", kind)
        frames[1].putpixel((0, 0), (9, 9, 9))
        frames[0].save(tmp_path / "two", kind, save_all=True, append_images=frames[1:])
        assert not images.is_animation(tmp_path / "one")
        assert images.is_animation(tmp_path / "two")


DEEP = noise(20, 24, 3, levels=65536)
SHALLOW = noise(20, 24, 3)
MASK = noise(20, 24, 1, levels=65536)
FLOATS = DEEP.astype(np.float32) / np.float32(65535)
RGB = {"photometric": "rgb"}
LAYOUTS = {
    "deep": (DEEP, DEEP, RGB),
    "big_endian": (DEEP, DEEP, RGB | {"byteorder": ">"}),
    "deflate": (DEEP, DEEP, RGB | {"compression": "zlib", "predictor": True}),
    "tiles": (DEEP, DEEP, RGB | {"tile": (16, 16)}),
    "strips": (DEEP, DEEP, RGB | {"rowsperstrip": 3}),
    "big_tiff": (DEEP, DEEP, RGB | {"bigtiff": True}),
    "big_tiff_8": (SHALLOW, SHALLOW, RGB | {"bigtiff": True}),
    "planes": (np.moveaxis(DEEP, 2, 0), DEEP, RGB | {"planarconfig": "separate"}),
    "planes_8": (np.moveaxis(SHALLOW, 2, 0), SHALLOW, RGB | {"planarconfig": "separate"}),
    "white_is_zero": (DEEP[..., 0], 65535 - DEEP[..., :1], {"photometric": "miniswhite"}),
    "white_is_zero_8": (SHALLOW[..., 0], 255 - SHALLOW[..., :1], {"photometric": "miniswhite"}),
    "grey": (DEEP[..., 0], DEEP[..., :1], {"photometric": "minisblack"}),
    "mask": (np.concatenate([DEEP, MASK], 2), DEEP, RGB | {"extrasamples": [0]}),
    "masks": (np.concatenate([DEEP, MASK, MASK], 2), DEEP, RGB | {"extrasamples": [0, 0]}),
    "alpha": (
        np.concatenate([DEEP, MASK], 2),
        np.concatenate([DEEP, MASK], 2),
        RGB | {"extrasamples": [2]},
    ),
    "alpha_behind_mask": (
        np.concatenate([DEEP, 65535 - MASK, MASK], 2),
        np.concatenate([DEEP, MASK], 2),
        RGB | {"extrasamples": [0, 2]},
    ),
    "floats": (FLOATS, DEEP, RGB),
    "doubles": (FLOATS.astype(np.float64), DEEP, RGB),
    "grey_floats": (FLOATS[..., 0], DEEP[..., :1], {"photometric": "minisblack"}),
    "inks": (
        np.concatenate([65535 - DEEP, 0 * MASK], 2),
        DEEP,
        {"photometric": "separated"},
    ),
}


class TestLayoutsOfTiff:
    @pytest.mark.parametrize("name", LAYOUTS)
    def test_values(self, tmp_path: Path, name: str):
        written, expected, options = LAYOUTS[name]
        path = tmp_path / "a.tif"
        tifffile.imwrite(path, written, **options)
        raster = images.decode(path)
        assert raster.values.dtype == expected.dtype
        assert np.array_equal(raster.values, expected)
        assert images.read_size(path) == (20, 24)
        assert any("masks" in note for note in raster.notes) == ("mask" in name)
        assert any("CMYK" in note for note in raster.notes) == (name == "inks")

    def test_half_floats(self, tmp_path: Path):
        tifffile.imwrite(tmp_path / "a.tif", FLOATS.astype(np.float16), photometric="rgb")
        found = images.decode(tmp_path / "a.tif").values.astype(int)
        assert np.abs(found - DEEP).max() <= 65535 / 2048

    def test_float_predictor(self, tmp_path: Path):
        """The predictor of Photoshop: bytes of equal weight together, as differences."""
        planes = FLOATS.astype(">f4").reshape(20, -1).view(np.uint8).reshape(20, 72, 4)
        planes = planes.transpose(0, 2, 1).reshape(20, -1, 3)
        differences = np.diff(planes, axis=1, prepend=np.zeros((20, 1, 3), np.uint8))
        strip = zlib.compress(differences.astype(np.uint8).tobytes())
        tags = {256: 24, 257: 20, 258: 32, 259: 8, 262: 2, 273: 8, 277: 3, 278: 20}
        tags |= {279: len(strip), 317: 3, 339: 3}
        directory = struct.pack("<H", len(tags))
        directory += b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
        path = tmp_path / "a.tif"
        path.write_bytes(
            struct.pack("<2sHI", b"II", 42, 8 + len(strip)) + strip + directory + bytes(4)
        )
        assert np.array_equal(images.decode(path).values, DEEP)

    @pytest.mark.parametrize("channels", [1, 3])
    @pytest.mark.parametrize("deep", [False, True])
    def test_lzw_agrees_with_opencv(self, tmp_path: Path, channels: int, deep: bool):
        values = noise(70, 53, channels, levels=65536 if deep else 256)
        path = tmp_path / "a.tif"
        cv2.imwrite(str(path), values)
        assert opened(path).tag_v2[259] == 5
        assert np.array_equal(images.decode(path).values, values[..., ::-1])

    def test_premultiplied_colour_is_divided_by_alpha(self, tmp_path: Path):
        alpha = np.full((20, 24, 1), 40_000, np.uint16)
        multiplied = np.rint(DEEP * (40_000 / 65535)).astype(np.uint16)
        tifffile.imwrite(
            tmp_path / "a.tif",
            np.concatenate([multiplied, alpha], 2),
            photometric="rgb",
            extrasamples=[1],
        )
        values = images.decode(tmp_path / "a.tif").values.astype(int)
        assert np.abs(values[..., :3] - DEEP).max() <= 1
        assert (values[..., 3] == 40_000).all()

    def test_pages_are_told(self, tmp_path: Path):
        tifffile.imwrite(tmp_path / "a.tif", np.stack([SHALLOW] * 3), photometric="rgb")
        raster = images.decode(tmp_path / "a.tif")
        assert np.array_equal(raster.values, SHALLOW)
        assert raster.notes == ("only the first of its 3 pages was read",)

    def test_values_a_little_outside_are_clipped(self, tmp_path: Path):
        values = np.array([[[-0.05, 0.5, 1.05]]], np.float32)
        tifffile.imwrite(tmp_path / "a.tif", values, photometric="rgb")
        assert images.decode(tmp_path / "a.tif").values.tolist() == [[[0, 32768, 65535]]]

    def test_more_pixels_than_pillow_allows(self, tmp_path: Path, monkeypatch):
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
        page = Image.fromarray(noise(40, 40) > 99)
        page.save(tmp_path / "a.tif", compression="group4")
        assert images.decode(tmp_path / "a.tif").values.shape == (40, 40, 1)
        assert Image.MAX_IMAGE_PIXELS == 100


def test_16_bit_png_with_a_clear_colour(tmp_path: Path):
    values = noise(6, 7, levels=65536)
    data = cv2.imencode(".png", values)[1].tobytes()
    content = struct.pack(">H", values[2, 3])
    chunk = struct.pack(">I", 2) + b"tRNS" + content
    chunk += struct.pack(">I", zlib.crc32(b"tRNS" + content))
    (tmp_path / "a.png").write_bytes(data[:33] + chunk + data[33:])
    found = images.decode(tmp_path / "a.png").values
    assert np.array_equal(found[..., 0], values)
    assert np.array_equal(found[..., 1], np.where(values == values[2, 3], 0, 65535))


ORIENTED = {
    "jpg": lambda values, exif: saved("JPEG", values, exif=exif, quality=98, subsampling=0),
    "png": lambda values, exif: saved("PNG", values, exif=exif),
    "webp": lambda values, exif: saved("WEBP", values, exif=exif, lossless=True),
    "tif": lambda values, exif: saved("TIFF", values, exif=exif),
    "avif": lambda values, exif: saved("AVIF", values, exif=exif, quality=95),
}


class TestOrientation:
    @pytest.mark.parametrize("orientation", range(1, 9))
    @pytest.mark.parametrize("suffix", ORIENTED)
    def test_8_bit_agrees_with_pillow(self, tmp_path: Path, suffix: str, orientation: int):
        block = Image.Exif()
        block[0x0112] = orientation
        path = tmp_path / f"a.{suffix}"
        path.write_bytes(ORIENTED[suffix](smooth(), block.tobytes()))
        expected = np.asarray(ImageOps.exif_transpose(opened(path)).convert("RGB"))
        self._check(path, expected, orientation, tolerance=0)

    @pytest.mark.parametrize("orientation", range(1, 9))
    @pytest.mark.parametrize("suffix", ["png", "tif"])
    def test_16_bit_agrees_with_pillows_turning(
        self, tmp_path: Path, suffix: str, orientation: int
    ):
        values = noise(20, 24, 3, levels=65536)
        block = Image.Exif()
        block[0x0112] = orientation
        path = tmp_path / f"a.{suffix}"
        if suffix == "tif":
            tags = [(0x0112, "HI"[orientation % 2], 1, orientation, True)]  # shorts and longs
            tifffile.imwrite(path, values, photometric="rgb", extratags=tags)
        else:
            data = cv2.imencode(".png", values[..., ::-1])[1].tobytes()
            content = block.tobytes()[6:]
            chunk = struct.pack(">I", len(content)) + b"eXIf" + content
            chunk += struct.pack(">I", zlib.crc32(b"eXIf" + content))
            path.write_bytes(data[:33] + chunk + data[33:])
        image = Image.fromarray(np.arange(20 * 24, dtype=np.int32).reshape(20, 24))
        image.getexif()[0x0112] = orientation
        places = np.asarray(ImageOps.exif_transpose(image))
        expected = values.reshape(-1, 3)[places.reshape(-1)].reshape(*places.shape, 3)
        self._check(path, expected, orientation, tolerance=0)

    def _check(self, path: Path, expected: np.ndarray, orientation: int, tolerance: int):
        raster = images.decode(path)
        assert np.abs(raster.values.astype(int) - expected).max() <= tolerance
        assert images.read_size(path) == expected.shape[:2]
        copy = path.with_stem("copy")
        images.encode(copy, images.to_raster(copy, images.to_photograph(raster)))
        assert images.read_size(copy) == expected.shape[:2]
        if orientation > 1:
            assert opened(copy).getexif().get(0x0112, 1) == 1

    def test_block_without_a_closing_link(self, tmp_path: Path):
        block = b"II*\0\x08\0\0\0" + struct.pack("<HHHIHH", 1, 0x0112, 3, 1, 6, 0)
        path = tmp_path / "a.jpg"
        path.write_bytes(saved("JPEG", smooth(24, 40), exif=b"Exif\0\0" + block))
        assert images.read_size(path) == (40, 24)
        images.write(path, images.read(path))
        assert images.read_size(path) == (40, 24)

    def test_beside_a_badly_typed_tag(self, tmp_path: Path):
        entries = struct.pack("<HHIHH", 0x010E, 99, 4, 1, 0)  # a type that there is not
        entries += struct.pack("<HHIHH", 0x0112, 3, 1, 8, 0)
        entries += struct.pack("<HHII", 0x0131, 5, 1 << 30, 8)  # a value outside of the block
        block = b"II*\0\x08\0\0\0" + struct.pack("<H", 3) + entries + bytes(4)
        path = tmp_path / "a.jpg"
        path.write_bytes(saved("JPEG", smooth(24, 40), exif=b"Exif\0\0" + block))
        assert images.read_size(path) == (40, 24)
        images.write(path, images.read(path))
        assert images.read_size(path) == (40, 24)


class Panic(BaseException):
    """As extensions in Rust raise."""


class TestBoundary:
    def test_a_librarys_failed_assertion_is_the_files_error(self, tmp_path: Path):
        data = saved("PNG", noise(8, 8, 3) // 128)
        place = data.index(b"IHDR")
        content = data[place + 4 : place + 13] + b"\x03" + data[place + 14 : place + 17]
        checksum = struct.pack(">I", zlib.crc32(b"IHDR" + content))
        data = data[: place + 4] + content + checksum + data[place + 21 :]  # no palette
        (tmp_path / "a.png").write_bytes(data)
        with pytest.raises(InputError, match=r"a\.png cannot be read"):
            images.read(tmp_path / "a.png")

    def test_a_mistake_of_ours_surfaces(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
        (tmp_path / "a.png").write_bytes(saved("PNG", smooth()))
        monkeypatch.setattr("blur2blur.images.png._PIXEL_KINDS", None)
        with pytest.raises(OwnMistakeWarning, match="TypeError"):
            images.read(tmp_path / "a.png")

    @pytest.mark.filterwarnings("ignore::blur2blur.images.boundary.OwnMistakeWarning")
    def test_to_a_user_it_is_the_files_error(self, tmp_path: Path, monkeypatch):
        (tmp_path / "a.png").write_bytes(saved("PNG", smooth()))
        monkeypatch.setattr("blur2blur.images.png._PIXEL_KINDS", None)
        for read in (images.read, images.decode, images.read_rgb_uint8, images.read_size):
            with pytest.raises(InputError, match=r"a\.png cannot be read.*NoneType"):
                read(tmp_path / "a.png")

    @pytest.mark.parametrize(
        ("raised", "words"),
        [(Panic("in Rust"), "in Rust"), (MemoryError(), "too large for the memory")],
    )
    def test_panics_and_too_little_memory_too(self, tmp_path: Path, monkeypatch, raised, words):
        (tmp_path / "a.png").write_bytes(saved("PNG", smooth()))
        monkeypatch.setattr(Image, "open", Mock(side_effect=raised))
        with pytest.raises(InputError, match=f"a.png .*{words}"):
            images.read(tmp_path / "a.png")


class TestLibrariesOfTheirOwn:
    @pytest.mark.parametrize(
        ("start", "package"),
        [
            (b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic", "pillow-heif"),
            (b"FUJIFILMCCD-RAW 0201", "rawpy"),
            (b"\xff\x0a\x00\x00", "pillow-jxl-plugin"),
        ],
    )
    def test_what_is_missing_is_named(self, tmp_path: Path, monkeypatch, start: bytes, package):
        for module in ("pillow_heif", "rawpy", "pillow_jxl"):
            monkeypatch.setitem(__import__("sys").modules, module, None)
        (tmp_path / "a.jpg").write_bytes(start + bytes(500))
        with pytest.raises(InputError, match=f"needs {package}: pip install {package}"):
            images.read(tmp_path / "a.jpg")

    @pytest.mark.parametrize("deep", [False, True])
    def test_heic(self, tmp_path: Path, deep: bool):
        library = pytest.importorskip("pillow_heif")
        values = smooth() if not deep else (smooth().astype(np.uint16) * 257)
        mode = "RGB;16" if deep else "RGB"
        path = tmp_path / "a.heic"
        library.from_bytes(mode, (40, 24), values.tobytes()).save(path, quality=95)
        raster = images.decode(path)
        levels = 257 if raster.values.dtype == np.uint16 else 1
        assert np.abs(raster.values / levels - smooth()).mean() < 3
        assert (raster.values.dtype == np.uint16) == deep
        assert images.read_size(path) == (24, 40)

    @pytest.mark.parametrize("orientation", range(1, 9))
    def test_heic_is_turned_once(self, tmp_path: Path, orientation: int):
        library = pytest.importorskip("pillow_heif")
        block = Image.Exif()
        block[0x0112] = orientation
        image = Image.fromarray(smooth())
        path = tmp_path / "a.heic"
        library.from_pillow(image).save(path, quality=95, exif=block.tobytes())
        image.getexif()[0x0112] = orientation
        expected = np.asarray(ImageOps.exif_transpose(image)).astype(int)
        raster = images.decode(path)
        assert raster.values.shape == expected.shape
        assert np.abs(raster.values - expected).mean() < 4
        assert images.read_size(path) == expected.shape[:2]

    @pytest.mark.parametrize("orientation", [1, 3, 6])
    def test_raw_is_developed_and_turned(self, tmp_path: Path, orientation: int):
        pytest.importorskip("rawpy")
        path = tmp_path / "a.dng"
        path.write_bytes(digital_negative(orientation))
        raster = images.decode(path)
        assert raster.values.dtype == np.uint16
        height, width = (64, 96) if orientation != 6 else (96, 64)
        assert raster.values.shape == (height, width, 3)
        assert images.read_size(path) == (height, width)
        upright = np.rot90(raster.values, {1: 0, 3: 2, 6: 1}[orientation]).astype(float)
        # the left half of the scene is red, the right half blue
        left, right = upright[8:-8, 8:40].mean((0, 1)), upright[8:-8, 56:-8].mean((0, 1))
        assert left[0] > 1.5 * left[2]
        assert right[2] > 1.5 * right[0]

    def test_jpeg_xl(self, tmp_path: Path):
        pytest.importorskip("pillow_jxl")
        (tmp_path / "a.jxl").write_bytes(saved("JXL", smooth(), lossless=True))
        assert np.array_equal(images.decode(tmp_path / "a.jxl").values, smooth())
        assert images.read_size(tmp_path / "a.jxl") == (24, 40)


def digital_negative(orientation: int) -> bytes:
    """Return a small DNG whose sensor saw red on the left and blue on the right."""
    scene = np.full((64, 96, 3), 4000)
    scene[:, :48, 0] = scene[:, 48:, 2] = 14_000
    sensor = np.empty((64, 96), np.uint16)
    for (top, left), channel in {(0, 0): 0, (0, 1): 1, (1, 0): 1, (1, 1): 2}.items():
        sensor[top::2, left::2] = scene[top::2, left::2, channel]
    one = (1, 1)
    matrix = (*one, 0, 1, 0, 1, 0, 1, *one, 0, 1, 0, 1, 0, 1, *one)
    tags = [
        (33421, "H", 2, (2, 2), True),
        (33422, "B", 4, bytes([0, 1, 1, 2]), True),
        (50706, "B", 4, bytes([1, 4, 0, 0]), True),
        (50707, "B", 4, bytes([1, 1, 0, 0]), True),
        (50708, "s", 0, "Acme Camera 1", True),
        (50714, "H", 1, 0, True),
        (50717, "H", 1, 16_000, True),
        (50721, "2i", 9, matrix, True),
        (50728, "2I", 3, one * 3, True),
        (50778, "H", 1, 21, True),
        (271, "s", 0, "Acme", True),
        (272, "s", 0, "Camera 1", True),
        (0x0112, "H", 1, orientation, True),
    ]
    file = io.BytesIO()
    tifffile.imwrite(file, sensor, photometric="cfa", extratags=tags)
    return file.getvalue()
