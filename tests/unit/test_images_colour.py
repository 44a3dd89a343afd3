"""Networks see sRGB whatever the file's colours; what they do not change keeps its own numbers."""

import io
import struct
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms

from blur2blur import images
from blur2blur.images import Photograph, colour, icc
from blur2blur.statistics import image_quality

ADOBE = [(0.64, 0.33), (0.21, 0.71), (0.15, 0.06)]
DISPLAY_P3 = [(0.680, 0.320), (0.265, 0.690), (0.150, 0.060)]
REC_2020 = [(0.708, 0.292), (0.170, 0.797), (0.131, 0.046)]
PRO_PHOTO = [(0.7347, 0.2653), (0.1596, 0.8404), (0.0366, 0.0001)]
D50 = (0.3457, 0.3585)
PROFILES = {
    "adobe": icc.matrix_profile(ADOBE, icc.D65, icc.power_curve(2.19921875)),
    "p3": icc.matrix_profile(DISPLAY_P3, icc.D65, icc.SRGB_CURVE),
    "linear_2020": icc.matrix_profile(REC_2020, icc.D65, icc.power_curve(1)),
    "pro_photo": icc.matrix_profile(PRO_PHOTO, D50, icc.power_curve(1.8)),
}
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def assembled(space: bytes, connection: bytes, tags: dict[bytes, bytes]) -> bytes:
    """Return a profile of version 2, of a printer."""
    table, body = struct.pack(">I", len(tags)), b""
    for name, content in tags.items():
        offset = 132 + 12 * len(tags) + len(body)
        table += struct.pack(">4sII", name, offset, len(content))
        body += content + bytes(-len(content) % 4)
    white = struct.pack(">3i", 63190, 65536, 54061)
    header = struct.pack(">I4sI4s", 128 + len(table) + len(body), b"", 0x02100000, b"prtr")
    header += space + connection + bytes(12) + b"acsp" + bytes(28) + white
    return header.ljust(128, b"\0") + table + body


def table_profile(space: bytes, channels: int, corner_to_lab, *, back: bool = False) -> bytes:
    """Return a profile of tables with two points for each channel (lut8, ICC.1:2001, 6.5.8)."""
    corners = np.stack(np.meshgrid(*[[0, 1]] * channels, indexing="ij"), -1).reshape(-1, channels)
    colours = np.array([corner_to_lab(corner) for corner in corners])
    content = np.clip(np.rint(colours), 0, 255).astype(np.uint8).tobytes()

    def lut(inputs: int, outputs: int, table: bytes) -> bytes:
        identity = b"".join(struct.pack(">i", 65536 * (at % 4 == 0)) for at in range(9))
        ramp = bytes(range(256))
        head = b"mft1" + bytes(4) + bytes([inputs, outputs, 2, 0]) + identity
        return head + ramp * inputs + table + ramp * outputs

    white = b"XYZ " + bytes(4) + struct.pack(">3i", 63190, 65536, 54061)
    text = b"desc" + bytes(4) + struct.pack(">I", 2) + b"p\0" + bytes(79)
    tags = {b"desc": text, b"cprt": b"text" + bytes(4) + b"CC0\0", b"wtpt": white}
    tags[b"A2B0"] = lut(channels, 3, content)
    if back:
        tags[b"B2A0"] = lut(3, channels, bytes(range(0, 240, 10)))
    return assembled(space, b"Lab ", tags)


def inks_to_lab(corner: np.ndarray) -> list[float]:
    lightness, a, b = 93.0, 0.0, 0.0
    for on, (light, red, yellow) in zip(
        corner, [(55, -37, -50), (48, 74, -3), (89, -5, 93), (16, 0, 0)], strict=True
    ):
        if on:
            lightness, a, b = lightness * light / 93, a + red, b + yellow
    return [2.55 * lightness, 128 + a / 2, 128 + b / 2]


CMYK = table_profile(b"CMYK", 4, inks_to_lab)
TABLES = table_profile(
    b"RGB ",
    3,
    lambda c: [255 * c.mean(), 128 + 60 * (c[0] - c[1]), 128 + 60 * (c[1] - c[2])],
    back=True,
)


def grey_profile(exponent: float) -> bytes:
    curve = b"curv" + bytes(4) + struct.pack(">IH", 1, round(exponent * 256))
    return assembled(b"GRAY", b"XYZ ", {b"kTRC": curve})


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(5).random(shape, np.float32)


def by_lcms(values: np.ndarray, profile: bytes) -> np.ndarray:
    own = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    mode = "CMYK" if values.shape[2] == 4 else "RGB"
    return np.asarray(
        ImageCms.profileToProfile(
            Image.fromarray(values, mode),
            own,
            ImageCms.createProfile("sRGB"),
            renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
            outputMode="RGB",
        )
    )


class TestFormulas:
    @pytest.mark.parametrize("name", PROFILES)
    def test_agrees_with_lcms(self, name: str):
        values = np.random.default_rng(1).integers(0, 256, (40, 50, 3)).astype(np.uint8)
        photograph = Photograph(
            pixels=values.astype(np.float32) / np.float32(255), icc_profile=PROFILES[name]
        )
        expected = by_lcms(values, PROFILES[name]).astype(int)
        error = np.abs(colour.working_pixels(photograph) * 255 - expected)
        # lcms rounds, and dark values of linear light are steep
        assert np.percentile(error, 99) < 1.1
        assert error.max() < 3

    @pytest.mark.parametrize("name", PROFILES)
    def test_the_way_back_is_the_inverse(self, name: str):
        space = colour.colour_space(PROFILES[name])
        srgb = 0.05 + 0.9 * noise(30, 40, 3)
        own = space.from_srgb(srgb)
        assert own.min() > 0
        assert own.max() < 1
        # values are looked up at 16 bits
        assert np.abs(space.to_srgb(own) - srgb).max() < 2e-3

    def test_srgb_is_no_conversion(self):
        photograph = Photograph(pixels=noise(4, 5, 3), icc_profile=SRGB)
        assert colour.working_pixels(photograph) is photograph.pixels
        assert colour.colour_space(grey_profile(2.2)) is not None
        assert colour.colour_space(None) is None

    @settings(max_examples=60, deadline=None, derandomize=True)
    @given(
        exponent=st.floats(0.4, 4),
        form=st.sampled_from(["power", "srgb", "table", "709"]),
    )
    def test_curves_are_inverted(self, exponent: float, form: str):
        curve = {
            "power": icc.power_curve(exponent),
            "srgb": icc.SRGB_CURVE,
            "table": icc.Curve(table=np.linspace(0, 1, 200) ** exponent),
            "709": icc._CURVES[1],
        }[form]
        values = np.linspace(0.02, 1, 500)
        assert np.abs(curve.encode(curve.decode(values)) - values).max() < 1e-3

    def test_written_profile_is_read_back(self):
        profile = icc.read_profile(PROFILES["p3"])
        assert np.abs(profile.to_xyz - icc.xyz_of_primaries(DISPLAY_P3, icc.D65)).max() < 1e-4
        values = np.linspace(0, 1, 33)
        difference = profile.curves[0].decode(values) - icc.SRGB_CURVE.decode(values)
        assert np.abs(difference).max() < 1e-4

    def test_known_matrix_of_srgb(self):
        """The matrix of sRGB at D50, as the sRGB profile of lcms states it."""
        stated = icc.read_profile(SRGB).to_xyz
        assert np.abs(stated - icc.SRGB_TO_XYZ).max() < 5e-4


class TestChangeAlone:
    @pytest.mark.parametrize("profile", [*PROFILES.values(), TABLES, grey_profile(1.8)])
    def test_what_is_not_changed_keeps_its_numbers(self, profile: bytes):
        photograph = Photograph(pixels=noise(300, 20, 3), bit_depth=16, icc_profile=profile)
        working = colour.working_pixels(photograph)
        assert not np.array_equal(working, photograph.pixels)
        assert 0 <= working.min() <= working.max() <= 1
        back = colour.with_result(photograph, working)
        assert np.array_equal(back.pixels, photograph.pixels)

    @pytest.mark.parametrize("name", PROFILES)
    def test_a_change_arrives(self, name: str):
        space = colour.colour_space(PROFILES[name])
        own = space.from_srgb(0.3 + 0.4 * noise(30, 40, 3))
        photograph = Photograph(pixels=own, bit_depth=16, icc_profile=PROFILES[name])
        result = np.clip(colour.working_pixels(photograph) + 0.1 * noise(30, 40, 3), 0, 1)
        made = colour.working_pixels(colour.with_result(photograph, result))
        assert np.abs(made - result).max() < 2e-3

    def test_one_scene_in_every_space_is_one_to_the_networks(self, tmp_path: Path):
        scene = 0.1 + 0.8 * noise(20, 30, 3)
        for name, profile in PROFILES.items():
            own = colour.colour_space(profile).from_srgb(scene)
            for suffix in (".tif", ".png"):
                path = tmp_path / f"{name}{suffix}"
                images.write(path, Photograph(pixels=own, bit_depth=16, icc_profile=profile))
                assert np.abs(images.read_rgb(path) - scene).max() < 2e-3
                assert np.abs(images.read_rgb_uint8(path) / 255 - scene).max() < 0.02


class TestGain:
    """What networks gain in sRGB is gained in the file's own colours, too."""

    def gain_db(self, path: Path, before: np.ndarray, truth: np.ndarray) -> float:
        """Return what is gained in a file by going half the way to the truth."""
        photograph = images.read(path)
        seen = colour.working_pixels(photograph)
        result = colour.with_result(photograph, seen + (truth - seen) / 2)
        images.write(path, result)
        after = images.read_rgb(path)
        return image_quality.psnr_db(after, truth) - image_quality.psnr_db(before, truth)

    @pytest.mark.parametrize("suffix", [".tif", ".png"])
    @pytest.mark.parametrize("profile", [*PROFILES.values(), grey_profile(1.8)])
    @pytest.mark.parametrize("cut_out", [False, True])
    def test_is_that_of_srgb(self, tmp_path: Path, suffix: str, profile: bytes, cut_out: bool):
        truth = np.clip(0.1 + 0.9 * noise(48, 64, 3) ** 2, 0, 1)
        grey = profile[16:20] == b"GRAY"
        truth = truth[..., :1].repeat(3, axis=2) if grey else truth
        blurry = (truth + np.roll(truth, 1, axis=1)) / 2
        alpha = np.ones((48, 64, 1), np.float32) if cut_out else None
        gains: list[float] = []
        for number, each in enumerate((None, profile)):
            space = colour.colour_space(each)
            own = blurry if space is None else space.from_srgb(blurry)
            path = tmp_path / f"{number}{suffix}"
            photograph = Photograph(
                pixels=own, bit_depth=16, icc_profile=each, alpha=alpha, grey=grey
            )
            images.write(path, photograph)
            gains.append(self.gain_db(path, blurry, truth))
        assert gains[0] == pytest.approx(6.02, abs=0.05)
        assert abs(gains[1] - gains[0]) < 0.2


class TestFilesColours:
    def test_grey_profile(self, tmp_path: Path):
        values = np.full((4, 5), 128, np.uint8)
        Image.fromarray(values).save(tmp_path / "a.png", icc_profile=grey_profile(1))
        light = 128 / 255
        expected = 1.055 * light ** (1 / 2.4) - 0.055
        assert np.abs(images.read_rgb(tmp_path / "a.png") - expected).max() < 1e-4
        quick = images.read_rgb_uint8(tmp_path / "a.png")
        assert quick.shape == (4, 5, 3)
        assert np.abs(quick / 255 - expected).max() < 0.006
        images.write(tmp_path / "b.png", images.read(tmp_path / "a.png"))
        assert np.array_equal(np.asarray(Image.open(tmp_path / "b.png")), values)

    @pytest.mark.filterwarnings("ignore::DeprecationWarning")
    @pytest.mark.parametrize("suffix", [".jpg", ".tif"])
    def test_cmyk_agrees_with_lcms(self, tmp_path: Path, suffix: str):
        inks = np.zeros((32, 64, 4), np.uint8)
        inks[:, :16, 0] = inks[:, 16:32, 1] = inks[:, 32:48, 3] = inks[:, 48:, 2] = 255
        image = Image.fromarray(inks, "CMYK")
        image.save(tmp_path / f"a{suffix}", icc_profile=CMYK, quality=98)
        raster = images.decode(tmp_path / f"a{suffix}")
        expected = by_lcms(inks, CMYK).astype(int)
        assert np.abs(raster.values - expected)[:, 4::16].max() < 6
        assert raster.icc_profile is None
        assert any("converted to sRGB" in note for note in raster.notes)

    @pytest.mark.parametrize(
        ("chunks", "expected"),
        [
            ({b"gAMA": struct.pack(">I", 100_000)}, 0.7354),  # light 0.5020 encoded
            ({b"gAMA": struct.pack(">I", 45_455)}, 0.502),
            ({b"sRGB": b"\0", b"gAMA": struct.pack(">I", 100_000)}, 0.502),
            ({b"cICP": bytes([1, 8, 0, 1])}, 0.7354),
            ({b"cICP": bytes([9, 16, 0, 1])}, 0.502),  # HDR stays as it is
        ],
    )
    def test_png_without_a_profile(self, tmp_path: Path, chunks: dict, expected: float):
        data = io.BytesIO()
        Image.fromarray(np.full((3, 4, 3), 128, np.uint8)).save(data, "PNG")
        added = b""
        for kind, content in chunks.items():
            checksum = struct.pack(">I", zlib.crc32(kind + content))
            added += struct.pack(">I", len(content)) + kind + content + checksum
        path = tmp_path / "a.png"
        path.write_bytes(data.getvalue()[:33] + added + data.getvalue()[33:])
        assert np.abs(images.read_rgb(path) - expected).max() < 5e-3
        images.write(tmp_path / "b.png", images.read(path))
        assert added in (tmp_path / "b.png").read_bytes()
        assert b"iCCP" not in (tmp_path / "b.png").read_bytes()

    @pytest.mark.parametrize("profile", [b"", b"nonsense", SRGB[:200], bytes(200), SRGB[:128]])
    def test_damaged_profile_does_not_stop_the_photograph(self, tmp_path: Path, profile: bytes):
        for space in (b"RGB ", b"GRAY", b"CMYK"):
            damaged = profile[:16] + space + profile[20:]
            Image.fromarray(np.full((3, 4, 3), 128, np.uint8)).save(
                tmp_path / "a.png", icc_profile=damaged
            )
            assert np.abs(images.read_rgb(tmp_path / "a.png") - 128 / 255).max() < 1e-6


class TestTransparentGround:
    def test_is_filled_from_the_edge(self):
        pixels = np.zeros((21, 32, 3), np.float32)
        alpha = np.zeros((21, 32, 1), np.float32)
        alpha[8:13, 8:24] = 1
        pixels[8:13, 8:24] = (0.2, 0.6, 0.4)
        working = colour.working_pixels(Photograph(pixels=pixels, alpha=alpha))
        assert np.allclose(working, (0.2, 0.6, 0.4))
        assert pixels[0, 0, 0] == 0
        pixels[8:13, 8:16] = (0.9, 0.1, 0.1)
        working = colour.working_pixels(Photograph(pixels=pixels, alpha=alpha))
        assert np.array_equal(working[8:13, 8:24], pixels[8:13, 8:24])
        assert np.allclose(working[8:13, 6:8], (0.9, 0.1, 0.1))
        assert np.allclose(working[8:13, 24:26], (0.2, 0.6, 0.4))
        assert working[..., 0].min() > 0.19
        assert working[..., 0].max() < 0.91

    def test_keeps_its_own_colour(self):
        pixels, alpha = noise(8, 8, 3), (noise(8, 8, 1) > 0.5).astype(np.float32)
        photograph = Photograph(pixels=pixels, alpha=alpha)
        made = colour.with_result(photograph, np.ones_like(pixels)).pixels
        assert np.array_equal(made, np.where(alpha > 0, 1, pixels))

    @pytest.mark.parametrize("value", [0, 1])
    def test_nothing_or_everything_transparent(self, value: int):
        pixels = noise(4, 5, 3)
        alpha = np.full((4, 5, 1), value, np.float32)
        photograph = Photograph(pixels=pixels, alpha=alpha)
        assert np.array_equal(colour.working_pixels(photograph), pixels)
        photograph = replace(photograph, icc_profile=PROFILES["p3"])
        working = colour.working_pixels(photograph)
        assert np.array_equal(colour.with_result(photograph, working).pixels, pixels)
