"""Every file of the inputs is taken as what its content says, or passed over for a reason."""

import io
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from blur2blur.errors import InputError
from blur2blur.images import contents_of
from blur2blur.images.listing import MANIFEST
from blur2blur.inference import inputs, manifest, planning
from blur2blur.inference.planning import Wanted
from blur2blur.inference.video import reading

PICTURE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (24, 32, 3), np.uint8))
TURNED = PICTURE.rotate(180)


def saved(kind: str, *more: Image.Image) -> bytes:
    file = io.BytesIO()
    extra = {"save_all": True, "append_images": list(more), "duration": 40} if more else {}
    PICTURE.save(file, kind, **extra)
    return file.getvalue()


FTYP = b"\0\0\0\x18ftyp%s\0\0\0\0" + bytes(200)
CONTENTS = {
    "jpeg": (saved("JPEG"), "picture"),
    "png": (saved("PNG"), "picture"),
    "tiff": (saved("TIFF"), "picture"),
    "webp": (saved("WEBP"), "picture"),
    "gif": (saved("GIF"), "picture"),
    "heic": (FTYP % b"heic", "picture"),
    "animated gif": (saved("GIF", TURNED), "animation"),
    "animated png": (saved("PNG", TURNED), "animation"),
    "png of one frame": (saved("PNG", PICTURE), "picture"),
    "animated webp": (saved("WEBP", TURNED), "animation"),
    "avif sequence": (FTYP % b"avis", "animation"),
    "quicktime": (FTYP % b"qt  ", "clip"),
    "mp4": (FTYP % b"isom", "clip"),
    "matroska": (b"\x1a\x45\xdf\xa3" + bytes(64), "clip"),
    "avi": (b"RIFF\0\0\0\0AVI LIST", "clip"),
    "transport stream": ((b"G" + bytes(187)) * 4, "clip"),
    "camcorder's transport stream": ((bytes(4) + b"G" + bytes(187)) * 4, "clip"),
    "empty": (b"", None),
    "text": (b"no picture", None),
    "cut": (saved("PNG")[:20], "picture"),
}


@pytest.mark.parametrize(("data", "expected"), CONTENTS.values(), ids=list(CONTENTS))
def test_contents(tmp_path: Path, data: bytes, expected: str | None) -> None:
    (tmp_path / "file").write_bytes(data)
    assert contents_of(tmp_path / "file") == expected


def make(root: Path, **files: str) -> Path:
    """Write files by name, "__" for a folder and "_" before the suffix, with those contents."""
    for name, kind in files.items():
        path = root / Path(name.replace("__", "/")).with_name(
            ".".join(name.rpartition("__")[2].rsplit("_", 1))
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(CONTENTS[kind][0])
    return root


def found(root: Path, *texts: str, out: str = "out", **options: bool) -> dict[str, str]:
    """Return what became of each file: "photograph", "clip" or why it is passed over."""
    result = inputs.find([str(root / text) for text in texts], root / out, **options)
    taken = {str(one.path): "clip" if one.is_clip else "photograph" for one in result.sources}
    passed = {str(one.path): one.reason for one in result.skipped}
    assert not taken.keys() & passed.keys()
    return {Path(path).relative_to(root).as_posix(): to for path, to in (taken | passed).items()}


def test_a_folder_is_accounted_for_whole(tmp_path: Path) -> None:
    make(
        tmp_path,
        in__a_JPG="jpeg",
        in__wrong_jpg="mp4",
        in__wrong_mov="heic",
        in__moving_gif="animated gif",
        in__still_gif="gif",
        in__text_png="text",
        in__text_mp4="text",
        in__list_txt="text",
        in__deep__b_heic="heic",
        in__out__a_JPG="jpeg",
    )
    assert found(tmp_path, "in", out="in/out") == {
        "in/a.JPG": "photograph",
        "in/wrong.jpg": "clip",
        "in/wrong.mov": "photograph",
        "in/moving.gif": "clip",
        "in/still.gif": "photograph",
        "in/text.png": "photograph",
        "in/text.mp4": "clip",
        "in/list.txt": ".txt is not read",
        "in/deep/b.heic": "photograph",
        "in/out/a.JPG": inputs.IN_OUTPUT_FOLDER,
    }


def test_a_glob_passes_over_what_it_names_and_nothing_else(tmp_path: Path) -> None:
    make(tmp_path, in__a_jpg="jpeg", in__list_txt="text", in__deep__b_jpg="jpeg")
    (tmp_path / "in/.hidden.jpg").touch()
    os.mkfifo(tmp_path / "in/pipe.jpg")
    assert found(tmp_path, "in/*") == {
        "in/a.jpg": "photograph",
        "in/list.txt": ".txt is not read",
        "in/.hidden.jpg": "hidden",
        "in/pipe.jpg": "no regular file",
    }
    make(tmp_path, **{"in__.trash__c_jpg": "jpeg"})
    assert found(tmp_path, "in/**/*.jpg") == {
        "in/a.jpg": "photograph",
        "in/deep/b.jpg": "photograph",
        "in/.hidden.jpg": "hidden",
        "in/.trash/c.jpg": "hidden",
        "in/pipe.jpg": "no regular file",
    }


def test_of_a_live_photo_the_photograph_is_taken(tmp_path: Path) -> None:
    make(
        tmp_path,
        in__IMG1_HEIC="heic",
        in__IMG1_MOV="quicktime",
        in__IMG2_jpg="jpeg",
        in__IMG2_mov="quicktime",
        in__IMG3_mov="quicktime",
        in__IMG4_png="png",
        in__IMG4_mov="quicktime",
        in__IMG5_jpg="jpeg",
        in__other__IMG5_mov="quicktime",
    )
    clips = [f"in/{name}" for name in ("IMG3.mov", "IMG4.mov", "other/IMG5.mov")]
    pairs = ["in/IMG1.MOV", "in/IMG2.mov"]
    told = found(tmp_path, "in")
    assert [name for name, what in sorted(told.items()) if what == "clip"] == clips
    assert [name for name, what in sorted(told.items()) if what == inputs.LIVE_PHOTO_CLIP] == pairs
    every = found(tmp_path, "in", live_photo_clips=True)
    assert [name for name, what in sorted(every.items()) if what == "clip"] == pairs + clips
    # as a shell expands it, and on its own
    assert found(tmp_path, *(f"in/{path.name}" for path in (tmp_path / "in").glob("*.*"))) == {
        name: what for name, what in told.items() if "other" not in name
    }
    assert found(tmp_path, "in/IMG1.MOV") == {"in/IMG1.MOV": "clip"}


def test_results_of_earlier_runs_are_passed_over(tmp_path: Path) -> None:
    make(tmp_path, in__a_jpg="jpeg", in__ax_jpg="jpeg", in__run__b_jpg="jpeg", in__run__c_jpg="png")
    for folder, name in (("in", "ax.jpg"), ("in/run", "b.jpg")):
        record = manifest.Manifest(tmp_path / folder, {"weights": "any"})
        planned = tmp_path / folder / name
        record.add(tmp_path / "in/a.jpg", planned, [planned])
    with (tmp_path / "in" / MANIFEST).open("a") as file:
        file.write('{"planned": "a.jpg", "written": 5}\nno json\n[]\n')
    earlier = {"in/ax.jpg", "in/run/b.jpg"}
    told = found(tmp_path, "in")
    assert {name for name, what in told.items() if what == inputs.EARLIER_RESULT} == earlier
    assert len(told) == 4
    assert found(tmp_path, "in/run/*.jpg")["in/run/b.jpg"] == inputs.EARLIER_RESULT
    assert found(tmp_path, "in/run/b.jpg") == {"in/run/b.jpg": "photograph"}  # it is asked for
    assert set(found(tmp_path, "in", results=True).values()) == {"photograph"}


def test_without_the_extra_clips_are_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path, in__a_jpg="jpeg", in__b_mp4="mp4")
    monkeypatch.setattr(reading, "has_av", lambda: False)
    monkeypatch.setattr(planning, "has_av", lambda: False)
    plan = planning.plan([str(tmp_path / "in")], tmp_path / "out")
    assert [job.source.name for job in plan.photographs] == ["a.jpg"]
    (skipped,) = plan.skipped
    assert skipped.path.name == "b.mp4"
    assert "pip install" in skipped.reason
    with pytest.raises(Exception, match="pip install"):
        planning.plan([str(tmp_path / "in/b.mp4")], tmp_path / "out")
    with pytest.raises(Exception, match="pip install"):
        planning.plan([str(tmp_path / "in/b.mp4")], tmp_path / "out.mp4")


@pytest.mark.parametrize("text", ["", " "])
def test_an_empty_input_is_not_the_current_folder(tmp_path: Path, text: str) -> None:
    with pytest.raises(InputError, match="an input is empty"):
        inputs.find([text], tmp_path / "out")


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({}, ["a.CR2.jpg", "a.jpg", "a.png"]),
        ({"format": "jpeg"}, ["a.CR2.jpg", "a.jpg", "a.png.jpg"]),
        ({"format": "tiff"}, ["a.CR2.tif", "a.jpg.tif", "a.png.tif"]),
        ({"suffix": "_x"}, ["a.CR2_x.jpg", "a_x.jpg", "a_x.png"]),
    ],
)
def test_results_of_one_stem_have_names_of_their_own(
    tmp_path: Path, options: dict[str, str], names: list[str]
) -> None:
    make(tmp_path, in__a_jpg="jpeg", in__a_png="png", in__a_CR2="tiff")
    plan = planning.plan([str(tmp_path / "in")], tmp_path / "out", Wanted(**options))
    assert sorted(job.output.name for job in plan.photographs) == names


def test_results_may_lie_beside_their_sources(tmp_path: Path) -> None:
    make(tmp_path, in__a_jpg="jpeg", in__b_jpg="jpeg")
    wanted = Wanted(suffix="_x", leave_sharp=True)
    plan = planning.plan([str(tmp_path / "in")], tmp_path / "in", wanted)
    assert [job.output.name for job in plan.photographs] == ["a_x.jpg", "b_x.jpg"]
    assert [job.kept for job in plan.photographs] == [job.source for job in plan.photographs]
    make(tmp_path, in__a_x_jpg="jpeg")  # in/a_x.jpg, which nobody says is a result
    with pytest.raises(InputError, match=r"a_x.jpg"):
        planning.plan([str(tmp_path / "in")], tmp_path / "in", wanted)


def test_what_no_run_has_made_is_not_replaced(tmp_path: Path) -> None:
    make(tmp_path, in__a_jpg="jpeg", in__b_jpg="jpeg", out__a_jpg="jpeg")
    source, out = str(tmp_path / "in"), tmp_path / "out"
    with pytest.raises(InputError, match=r"out/a\.jpg: there already, .* --overwrite"):
        planning.plan([source], out)
    assert len(planning.plan([source], out, Wanted(overwrite=True)).photographs) == 2
    record = manifest.Manifest(out, {})
    record.begin([out / "a.jpg"])  # and then its process was killed
    assert len(planning.plan([source], out).photographs) == 2
    assert manifest.results_in(out) == frozenset()


def test_a_kind_that_is_only_read_names_no_folder(tmp_path: Path) -> None:
    make(tmp_path, a_jpg="jpeg")
    with pytest.raises(InputError, match=r"no photograph is stored as \.dng"):
        planning.plan([str(tmp_path / "a.jpg")], tmp_path / "x.dng")
