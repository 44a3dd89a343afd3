"""What a photograph carries is in the result, or it is told; exiftool is the judge."""

import io
import json
import shutil
import struct
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pillow_heif
import pytest
import tifffile
from PIL import Image, ImageCms

from blur2blur import images
from blur2blur.images import exif, jpeg, png
from blur2blur.images.metadata import Metadata, iptc_of, photoshop_of

needs_exiftool = pytest.mark.skipif(
    shutil.which("exiftool") is None,
    reason="exiftool is not installed (Debian: apt-get install libimage-exiftool-perl)",
)

DESCRIPTION = {
    "EXIF:Artist": "Someone",
    "EXIF:ExposureTime": 0.01,
    "EXIF:GPSLatitude": 12.5,
    "EXIF:GPSLatitudeRef": "N",
    "EXIF:LensModel": "Lens 1",
    "XMP:Subject": ["harbour", "evening"],
    "XMP:Rating": 4,
    "XMP:CreatorTool": "Tool",
}
RECORDS = {"IPTC:Keywords": ["harbour", "night"], "IPTC:Caption-Abstract": "Two boats"}


PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def smooth(height: int = 24, width: int = 40) -> np.ndarray:
    down, across = np.mgrid[0:height, 0:width] / max(height, width)
    return np.stack([255 * across, 255 * down, 120 + 60 * across], axis=2).astype(np.uint8)


def exiftool(*arguments: str | Path) -> str:
    done = subprocess.run(["exiftool", *arguments], capture_output=True, text=True, check=True)
    return done.stdout


def tags(path: Path) -> dict[str, object]:
    return json.loads(exiftool("-json", "-G", "-n", path))[0]


def describe(path: Path, **values: object) -> None:
    wanted: list[str] = []
    for name, value in (DESCRIPTION | values).items():
        wanted += [f"-{name}={each}" for each in (value if isinstance(value, list) else [value])]
    exiftool("-q", "-n", "-overwrite_original", *wanted, path)


def written(source: Path, suffix: str) -> tuple[Path, tuple[str, ...]]:
    path = source.parent / f"out{suffix}"
    return path, images.write(path, images.read(source))


@needs_exiftool
class TestCarriers:
    @pytest.mark.parametrize("source", [".jpg", ".png", ".tif", ".webp", ".avif"])
    @pytest.mark.parametrize("target", [".jpg", ".png", ".tif", ".webp", ".avif"])
    def test_exif_and_xmp_from_every_format_to_every_other(
        self, tmp_path: Path, source: str, target: str
    ):
        path = tmp_path / f"a{source}"
        Image.fromarray(smooth()).save(path)
        describe(path)
        out, notes = written(path, target)
        found = tags(out)
        assert {name: found.get(name) for name in DESCRIPTION} == DESCRIPTION
        assert notes == ()
        assert "Warning" not in " ".join(found)

    @pytest.mark.parametrize("source", [".jpg", ".tif"])
    @pytest.mark.parametrize("target", [".jpg", ".tif"])
    def test_iptc(self, tmp_path: Path, source: str, target: str):
        path = tmp_path / f"a{source}"
        Image.fromarray(smooth()).save(path)
        describe(path, **RECORDS)
        found = tags(written(path, target)[0])
        assert {name: found.get(name) for name in RECORDS} == RECORDS

    @pytest.mark.parametrize("target", [".png", ".webp", ".bmp"])
    def test_what_has_no_place_is_told(self, tmp_path: Path, target: str):
        path = tmp_path / "a.jpg"
        Image.fromarray(smooth()).save(path)
        describe(path, **RECORDS)
        (note,) = written(path, target)[1]
        assert "IPTC" in note
        assert ("XMP" in note) == (target == ".bmp")

    @pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".webp"])
    def test_orientation_and_sizes_are_those_of_the_result(self, tmp_path: Path, suffix: str):
        path = tmp_path / f"a{suffix}"
        Image.fromarray(smooth(24, 40)).save(path)
        sizes = {"EXIF:ExifImageWidth": 40, "EXIF:ExifImageHeight": 24}
        describe(path, **{"EXIF:Orientation": 6, "XMP-tiff:Orientation": 6}, **sizes)
        found = tags(written(path, suffix)[0])
        assert found["EXIF:Orientation"] == 1
        assert found["XMP:Orientation"] == 1
        assert found["EXIF:ExifImageWidth"] == 24
        assert found["EXIF:ExifImageHeight"] == 40

    @pytest.mark.parametrize("source", [".jpg", ".png", ".tif", ".bmp"])
    @pytest.mark.parametrize("target", [".jpg", ".png", ".tif", ".bmp"])
    def test_resolution(self, tmp_path: Path, source: str, target: str):
        path = tmp_path / f"a{source}"
        Image.fromarray(smooth()).save(path, dpi=(300, 200))
        found = tags(written(path, target)[0])
        across = found.get("JFIF:XResolution") or found.get("EXIF:XResolution")
        metres = found.get("PNG:PixelsPerUnitX") or found.get("File:PixelsPerMeterX")
        assert (across or metres * 0.0254) == pytest.approx(300, abs=0.1)
        down = found.get("JFIF:YResolution") or found.get("EXIF:YResolution")
        metres = found.get("PNG:PixelsPerUnitY") or found.get("File:PixelsPerMeterY")
        assert (down or metres * 0.0254) == pytest.approx(200, abs=0.1)

    @pytest.mark.parametrize("bit_depth", [8, 16])
    def test_heic(self, tmp_path: Path, bit_depth: int):
        pytest.importorskip("pillow_heif")
        Image.fromarray(smooth()).save(tmp_path / "a.jpg", icc_profile=PROFILE, quality=98)
        describe(tmp_path / "a.jpg")
        photograph = replace(images.read(tmp_path / "a.jpg"), bit_depth=bit_depth)
        assert images.write(tmp_path / "b.heic", photograph) == ()
        back = images.read(tmp_path / "b.heic")
        assert back.bit_depth == bit_depth
        assert back.icc_profile == PROFILE
        assert np.abs(back.pixels - photograph.pixels).mean() < 0.01
        out, _ = written(tmp_path / "b.heic", ".jpg")
        found = tags(out)
        assert {name: found.get(name) for name in DESCRIPTION} == DESCRIPTION

    def test_comments(self, tmp_path: Path):
        Image.fromarray(smooth()).save(tmp_path / "a.jpg", comment="A remark")
        assert tags(written(tmp_path / "a.jpg", ".jpg")[0])["File:Comment"] == "A remark"
        assert tags(written(tmp_path / "a.jpg", ".png")[0])["PNG:Comment"] == "A remark"

    def test_text_of_png(self, tmp_path: Path):
        path = tmp_path / "a.png"
        Image.fromarray(smooth()).save(path)
        exiftool("-q", "-overwrite_original", "-PNG:Title=Harbour", "-PNG:Author=Größe", path)
        found = tags(written(path, ".png")[0])
        assert (found["PNG:Title"], found["PNG:Author"]) == ("Harbour", "Größe")
        assert "text of PNG" in written(path, ".jpg")[1][0]

    def test_makers_note_keeps_its_place(self, tmp_path: Path):
        """Offsets in makers' notes count from the start of the block, which stays where it was."""
        path = tmp_path / "a.jpg"
        note = bytes(range(200))
        block = Image.Exif()
        block[0x010F] = "Acme"
        block.get_ifd(0x8769)[0x927C] = note
        Image.fromarray(smooth()).save(path, exif=block.tobytes())
        place = images.read(path).exif.index(note)
        out, _ = written(path, ".jpg")
        assert images.read(out).exif.index(note) == place
        out, _ = written(path, ".tif")
        assert out.read_bytes().index(note) == place

    def test_large_xmp_of_jpeg(self, tmp_path: Path):
        path = tmp_path / "a.jpg"
        Image.fromarray(smooth()).save(path)
        text = "word " * 40_000
        (tmp_path / "text").write_text(text)
        exiftool("-q", "-overwrite_original", f"-XMP-dc:Description<={tmp_path / 'text'}", path)
        assert tags(written(path, ".jpg")[0])["XMP:Description"] == text
        assert "extended XMP" in written(path, ".webp")[1][0]


def test_text_of_png_may_be_large(tmp_path: Path):
    """Histories and workflows of megabytes are beyond Pillow's limits, and so are some profiles."""
    from PIL.PngImagePlugin import PngInfo

    information = PngInfo()
    information.add_text("workflow", "{'node': 12345}" * 150_000, zip=True)
    path = tmp_path / "a.png"
    Image.fromarray(smooth()).save(path, pnginfo=information, icc_profile=bytes(1_500_000))
    out, notes = written(path, ".png")
    assert notes == ()
    assert b"workflow" in out.read_bytes()
    assert np.array_equal(images.read_rgb_uint8(out), smooth())


def test_second_pictures_of_jpeg_are_told(tmp_path: Path):
    first, second = Image.fromarray(smooth()), Image.fromarray(smooth()[::-1])
    first.save(tmp_path / "a.jpg", "MPO", save_all=True, append_images=[second])
    raster = images.decode(tmp_path / "a.jpg")
    assert raster.notes == ("only the first of its pictures was read",)
    assert np.abs(raster.values.astype(int) - smooth()).mean() < 6
    marked = b"http://ns.adobe.com/xap/1.0/\0<x hdrgm:Version='1.0'/>"
    segment = b"\xff\xe1" + struct.pack(">H", len(marked) + 2) + marked
    data = (tmp_path / "a.jpg").read_bytes()
    (tmp_path / "a.jpg").write_bytes(data[:2] + segment + data[2:])
    assert "gain map" in images.decode(tmp_path / "a.jpg").notes[0]


def _chunk_or_segment(path: Path, content: bytes) -> None:
    """Put an APP11 segment, or a caBX chunk, behind the header of a file."""
    data = path.read_bytes()
    if path.suffix == ".png":
        path.write_bytes(data[:33] + png.chunk(b"caBX", content) + data[33:])
    else:
        segment = b"\xff\xeb" + struct.pack(">H", len(content) + 2) + content
        path.write_bytes(data[:2] + segment + data[2:])


def test_a_progressive_jpeg_without_its_last_scans_is_told(tmp_path: Path):
    Image.fromarray(smooth()).save(tmp_path / "a.jpg", progressive=True)
    whole = (tmp_path / "a.jpg").read_bytes()
    assert images.decode(tmp_path / "a.jpg").notes == ()
    (tmp_path / "a.jpg").write_bytes(whole[: whole.rindex(b"\xff\xda")] + b"\xff\xd9")
    (note,) = images.decode(tmp_path / "a.jpg").notes
    assert note.startswith("its last scans are missing")


@pytest.mark.parametrize(
    ("suffix", "credentials", "trailer", "told"),
    [
        (".jpg", b"", b"", ()),
        (".jpg", b"", b"\0" * 5000, ()),
        (".jpg", b"", b"\0\0\0\x18ftypmp42" + bytes(9000), ("its clip (of a motion photo)",)),
        (".jpg", b"", b"SEFT" * 100, ("400 bytes behind its pixels were left out",)),
        (".jpg", b"JP\0\1", b"", ("its content credentials",)),
        (".png", b"jumb", b"", ("its content credentials",)),
    ],
)
@pytest.mark.parametrize("progressive", [False, True])
def test_what_is_beside_the_pixels_is_told(
    tmp_path: Path,
    suffix: str,
    credentials: bytes,
    trailer: bytes,
    told: tuple[str, ...],
    progressive: bool,
):
    path = tmp_path / f"a{suffix}"
    Image.fromarray(smooth()).save(path, **({"progressive": True} if progressive else {}))
    before = images.decode(path).values
    if credentials:
        _chunk_or_segment(path, credentials)
    path.write_bytes(path.read_bytes() + trailer)
    raster = images.decode(path)
    assert np.array_equal(raster.values, before)
    assert len(raster.notes) == len(told)
    assert all(note.startswith(start) for note, start in zip(raster.notes, told, strict=True))


def test_a_photograph_without_its_clip_is_no_motion_photo(tmp_path: Path):
    path = tmp_path / "a.jpg"
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/" GCamera:MotionPhoto="1" xmp:Rating="1"/>'
    Image.fromarray(smooth()).save(path, xmp=xmp)
    out, _ = written(path, ".jpg")
    assert b'GCamera:MotionPhoto="0" xmp:Rating="1"' in out.read_bytes()


def test_pictures_of_heic_are_told(tmp_path: Path):
    heif = pillow_heif.from_pillow(Image.fromarray(smooth(64, 64)))
    heif.add_from_pillow(Image.fromarray(smooth(64, 64)[::-1]))
    heif.save(tmp_path / "a.heic")
    assert images.decode(tmp_path / "a.heic").notes == (
        "only the main one of its 2 pictures was read",
    )


def test_layers_of_tiff_are_told(tmp_path: Path):
    layers = (37724, 7, 8, b"8BIM" * 2, True)
    tifffile.imwrite(tmp_path / "a.tif", smooth(), photometric="rgb", extratags=[layers])
    assert images.decode(tmp_path / "a.tif").notes == ("its layers (Photoshop) were left out",)


class TestPhotoshopsResources:
    def test_records_are_found_and_wrapped(self):
        for length in (10, 11):
            records = bytes(range(length))
            block = photoshop_of(Metadata(iptc=records))
            assert iptc_of(Metadata(photoshop=block)) == records
            named = b"8BIM" + struct.pack(">H", 1) + b"\x03abc" + struct.pack(">I", 2) + b"xy"
            assert iptc_of(Metadata(photoshop=named + block)) == records

    def test_damage_is_nothing(self):
        assert iptc_of(Metadata(photoshop=b"8BIM\x04\x04\xff")) is None
        assert iptc_of(Metadata(photoshop=b"nonsense" * 9)) is None


class TestCompressionIsKept:
    def sized(self, path: Path, **options: object) -> int:
        rows = np.random.default_rng(2).normal(0, 6, (256, 256, 3)) + smooth(256, 256)
        Image.fromarray(np.clip(rows, 0, 255).astype(np.uint8)).save(path, **options)
        return path.stat().st_size

    @pytest.mark.parametrize("quality", [40, 75, 80, 92, 100])
    @pytest.mark.parametrize("subsampling", [0, 1, 2])
    def test_jpeg_has_its_own_tables(self, tmp_path: Path, quality: int, subsampling: int):
        path = tmp_path / "a.jpg"
        before = self.sized(path, quality=quality, subsampling=subsampling)
        photograph = images.read(path)
        assert photograph.compression.quality == pytest.approx(quality, abs=1)
        out, _ = written(path, ".jpg")
        assert out.stat().st_size == pytest.approx(before, rel=0.1)
        with Image.open(path) as one, Image.open(out) as other:
            assert one.quantization == other.quantization
            assert [layer[1:3] for layer in one.layer] == [layer[1:3] for layer in other.layer]

    def test_grey_jpeg(self, tmp_path: Path):
        Image.fromarray(smooth()[..., 0]).save(tmp_path / "a.jpg", quality=60)
        out, _ = written(tmp_path / "a.jpg", ".jpg")
        with Image.open(tmp_path / "a.jpg") as one, Image.open(out) as other:
            assert one.quantization[0] == other.quantization[0]

    def test_stated_quality_rules(self, tmp_path: Path):
        self.sized(tmp_path / "a.jpg", quality=80)
        photograph = images.read(tmp_path / "a.jpg")
        sizes = []
        for quality in (30, 60, 90):
            images.write(tmp_path / "b.jpg", photograph, quality=quality)
            found = images.read(tmp_path / "b.jpg").compression.quality
            assert found == pytest.approx(quality, abs=1)
            sizes.append((tmp_path / "b.jpg").stat().st_size)
        assert sizes == sorted(sizes)

    def test_lossless_webp_stays_lossless(self, tmp_path: Path):
        for lossless in (True, False):
            self.sized(tmp_path / "a.webp", lossless=lossless, icc_profile=bytes(101))
            photograph = images.read(tmp_path / "a.webp")
            assert photograph.compression.lossless == lossless
            out, _ = written(tmp_path / "a.webp", ".webp")
            same = np.array_equal(images.read(out).pixels, photograph.pixels)
            assert same == lossless

    def test_stated_quality_rules_over_lossless_webp(self, tmp_path: Path):
        self.sized(tmp_path / "a.webp", lossless=True)
        images.write(tmp_path / "b.webp", images.read(tmp_path / "a.webp"), quality=40)
        assert not images.read(tmp_path / "b.webp").compression.lossless

    def test_quality_of_the_standards_table(self):
        file = io.BytesIO()
        Image.fromarray(smooth()).save(file, "JPEG", quality=50)
        assert jpeg.read_segments(file.getvalue()).quality == 50


def test_names_of_outputs():
    def named(source: str, wanted: images.Format) -> str:
        return str(images.output_name(Path(source), wanted))

    assert named("a/b.JPG", "keep") == "a/b.JPG"
    assert named("a/b.CR3", "keep") == "a/b.CR3.jpg"
    assert named("b.gif", "keep") == "b.gif.png"
    assert named("b.jpeg", "jpeg") == "b.jpeg"
    assert named("b.jpeg", "png") == "b.jpeg.png"
    assert named("b.heic", "jpeg") == "b.heic.jpg"
    assert named("b.heic", "tiff") == "b.heic.tif"


def test_damaged_block_is_left_alone():
    assert exif.upright(b"nonsense", height=3, width=4) == b"nonsense"
    assert exif.from_tiff(b"II*\0") is None
    assert exif.time_taken(b"") is None
