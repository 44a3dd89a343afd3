"""What JPEG files tell of their compression is what Pillow was told when it wrote them."""

from pathlib import Path

import pytest
import skimage.data
from PIL import Image

from blur2blur.blur.camera_settings import JpegSettings
from blur2blur.errors import InputError
from blur2blur.training.sections import DataSettings, MatchedCamerasSettings
from blur2blur.training.simulation import prepare
from blur2blur.training.simulation.camera_files import jpeg_of


def saved(path: Path, **options: object) -> Path:
    Image.fromarray(skimage.data.astronaut()[:64, :96]).save(path, **options)
    return path


@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:2", "4:2:0"])
@pytest.mark.parametrize("quality", [35, 75, 98])
def test_quality_and_subsampling(tmp_path, quality, subsampling):
    told = jpeg_of([saved(tmp_path / "a.jpg", quality=quality, subsampling=subsampling)])
    assert told is not None
    assert told.quality == (quality, quality)
    assert told.subsampling == subsampling


def test_of_several_the_range_and_the_finest(tmp_path):
    told = jpeg_of(
        [
            saved(tmp_path / "a.jpg", quality=90, subsampling="4:2:0"),
            saved(tmp_path / "b.jpg", quality=60, subsampling="4:4:4"),
            saved(tmp_path / "c.jpg", quality=75, subsampling="4:2:2", progressive=True),
        ]
    )
    assert told is not None
    assert (told.quality, told.subsampling) == ((60, 90), "4:4:4")


def test_grey_files_tell_nothing_of_colour(tmp_path):
    Image.fromarray(skimage.data.camera()).save(tmp_path / "grey.jpg", quality=70)
    colour = saved(tmp_path / "a.jpg", quality=90, subsampling="4:2:0")
    told = jpeg_of([colour, tmp_path / "grey.jpg"])
    assert told is not None
    assert (told.quality, told.subsampling) == ((70, 90), "4:2:0")
    assert jpeg_of([tmp_path / "grey.jpg"]) is None


def test_nothing_is_told_where_one_is_no_jpeg(tmp_path):
    assert jpeg_of([saved(tmp_path / "a.jpg"), saved(tmp_path / "b.png")]) is None


def test_a_file_that_is_cut_in_its_header(tmp_path):
    path = saved(tmp_path / "a.jpg")
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(InputError, match=r"a\.jpg"):
        jpeg_of([path])


@pytest.mark.parametrize(("shrink", "told"), [(1, (80, 80)), (2, None)])
def test_a_run_compares_cameras_that_compress_so(tmp_path, monkeypatch, shrink, told):
    photograph = Image.fromarray(skimage.data.astronaut())
    for name in ("blurry1", "blurry2", "sharp1", "sharp2"):
        photograph.save(tmp_path / f"{name}.jpg", quality=80)
    streams = {
        "unknown_blurry": [tmp_path / f"blurry{number}.jpg" for number in (1, 2)],
        "unknown_sharp": [tmp_path / f"sharp{number}.jpg" for number in (1, 2)],
    }
    seen: list[JpegSettings | None] = []
    monkeypatch.setattr(prepare, "CAMERA_CROPS", 2)
    monkeypatch.setattr(prepare, "SIMULATED_CROPS", 2)
    monkeypatch.setattr(prepare.Simulation, "match", lambda *_, jpeg=None, **__: seen.append(jpeg))
    cameras = MatchedCamerasSettings(
        cameras=["any-frames"], overrides=["extent_px=[1,4]"], compared=2
    )
    data = DataSettings(crop_px=64, workers=0, validation_crops=1, shrink=shrink)
    prepare.prepare(cameras, None, streams, data, seed=0)
    assert [each and each.quality for each in seen] == [told]
