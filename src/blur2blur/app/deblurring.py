"""A visitor's photographs through the pipeline: what the page shows, and what she takes away."""

import itertools
import threading
import time
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from blur2blur import api, images
from blur2blur.app import words
from blur2blur.app.sessions import Session, Stopped, Upload
from blur2blur.errors import Blur2BlurError, InputError
from blur2blur.images import Photograph
from blur2blur.inference import Pipeline, working_scale
from blur2blur.inference.batch import Deblurred
from blur2blur.inference.blur_extent import estimate_px, load_estimator
from blur2blur.inference.working_scale import Scale
from blur2blur.weights import zoo

WHOLE_PX = 2000
"""Longest side of a whole picture on the page; what is downloaded is of full size."""
CROP_PX = (660, 440)
"""Width and height of what is shown at 100 %: the width that the slider has on a desktop."""
THUMBNAIL_PX = 240
_FRAME = 128  # grey
_PREVIEW_QUALITY = 92
_DECODING = threading.BoundedSemaphore(2)
"""Whoever decodes whole photographs beside the one that is computed: memory depends on it."""
_COMPUTING = threading.Lock()
_END_S = 30.0
"""How long the end of the page waits for what is computed; a tile takes much less."""

Float32 = NDArray[np.float32]
Tell = Callable[[float, str], None]
"""Told which part of the whole is done, in [0, 1], and what is going on, in words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One input and what became of it.

    Attributes:
        upload: the input.
        output: as `blur2blur deblur` writes it; None where it failed.
        problem: why it failed, in words; else empty.
        blur_px: how far its blur reaches; None of a clip or an animation.
        factor: what its sides were divided by meanwhile.
        left_sharp: whether it is sharp already, and was left as it is.
    """

    upload: Upload
    output: Path | None = None
    problem: str = ""
    blur_px: float | None = None
    factor: int = 1
    left_sharp: bool = False

    @property
    def name(self) -> str:
        """What the download is called: the input's name, with the output's suffix."""
        suffix = (self.output or self.upload.path).suffix
        same = Path(self.upload.name).suffix.lower() == suffix.lower()
        return self.upload.name if same else str(Path(self.upload.name).with_suffix(suffix))


def deblur(
    session: Session,
    uploads: Sequence[str],
    *,
    converter: str,
    tell: Tell,
    scale: str = "auto",
    everything: bool = False,
) -> Iterator[Result]:
    """Yield each result as it comes.

    Args:
        session: whose photographs they are.
        uploads: paths of uploaded files.
        converter: name of a converter, or none.
        tell: how far it is.
        scale: as `Pipeline`.
        everything: deblur photographs that are sharp already, too.

    Raises:
        Stopped: by `session.stop`.
        Blur2BlurError: the converter cannot be loaded, or there are too many files.
    """
    try:
        yield from _each(
            session, uploads, converter=converter, tell=tell, scale=scale, everything=everything
        )
    finally:
        if session.ended:  # and what was written after her files were deleted is left
            session.remove()


def _each(
    session: Session,
    uploads: Sequence[str],
    *,
    converter: str,
    tell: Tell,
    scale: str,
    everything: bool,
) -> Iterator[Result]:
    session.stop.clear()
    taken = session.take_in(uploads)
    tell(0, words.PREPARING)
    pipeline = pipeline_of(converter, scale)
    out = session.new_folder()
    clock = _Clock(len(taken), tell)
    for number, upload in enumerate(taken):

        def on_progress(
            what: str, done: int, total: int | None, number: int = number, upload: Upload = upload
        ) -> None:
            if session.stop.is_set() or session.ended:
                raise Stopped
            session.used_s = time.monotonic()
            part = done / total if total and what == upload.path.name else 0
            clock.show(number + min(1.0, part), upload.name)

        try:
            on_progress("", 0, None)
            session.limits.check_photograph(upload.path)
            with _COMPUTING:
                done = api.deblur_folder(
                    [upload.path],
                    out,
                    pipeline=pipeline,
                    everything=everything,
                    on_progress=on_progress,
                )
            yield _result(pipeline, upload, done, out / upload.path.name)
        except Blur2BlurError as error:
            yield Result(upload=upload, problem=words.of_error(error, upload.path, upload.name))


def wait_for_end() -> None:
    """Wait for what is computed, as no interpreter may end under the threads of a runtime."""
    if _COMPUTING.acquire(timeout=_END_S):
        _COMPUTING.release()


def _result(pipeline: Pipeline, upload: Upload, done: Deblurred, left_as_it_is: Path) -> Result:
    if done.failures:
        raise done.failures[0]
    if done.skipped:
        raise InputError(done.skipped[0].reason)
    if done.clips:
        return Result(upload=upload, output=done.clips[0])
    (output,) = done.photographs or [left_as_it_is]
    before, _ = _pixels(upload.path, output)
    pixels = before.astype(np.float32) / 255
    return Result(
        upload=upload,
        output=output,
        blur_px=estimate_px(load_estimator(), pixels),
        factor=pipeline.choose_factor(pixels),
        left_sharp=bool(done.left_sharp),
    )


class _Clock:
    """Tells the time that is left, from what the photographs so far took."""

    def __init__(self, count: int, tell: Tell) -> None:
        self._count, self._tell, self._start_s = count, tell, time.monotonic()

    def show(self, done: float, name: str) -> None:
        elapsed_s = time.monotonic() - self._start_s
        left_s = elapsed_s / done * (self._count - done) if done > 0.05 else None
        number = min(self._count, int(done) + 1)
        self._tell(done / self._count, words.progress(number, self._count, name, left_s))


def pipeline_of(converter: str, scale: str) -> Pipeline:
    """Return the pipeline of a converter by name; of the last two, the one in memory.

    Raises:
        CheckpointError: there is no such converter.
    """
    if converter == zoo.NONE:
        return _pipeline(None, scale, 0)
    path = zoo.resolve(converter, role="converter")
    return _pipeline(str(path), scale, path.stat().st_mtime_ns)


@lru_cache(maxsize=2)
def _pipeline(converter: str | None, scale: str, _changed_ns: int) -> Pipeline:
    return Pipeline(converter=converter, scale=cast("Scale", scale))


@lru_cache(maxsize=2)
def _pixels(source: Path, output: Path) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return before and after, H W 3, sRGB; of the last two pairs without decoding."""
    return images.read_rgb_uint8(source), images.read_rgb_uint8(output)


def thumbnail(session: Session, path: Path) -> Path:
    """Write a small picture of a photograph, for contact sheets. Raises InputError."""
    pixels = images.read_rgb_uint8(path)
    factor = max(1, max(pixels.shape[:2]) // THUMBNAIL_PX)
    small = session.new_folder() / "0.jpg"
    _write(small, _reduced(pixels, factor))
    return small


def preview(
    session: Session, result: Result, *, strength: float, at: tuple[float, float] | None
) -> tuple[str, str]:
    """Write what the slider shows of a photograph: before, and after at a strength.

    Args:
        session: whose it is.
        result: of a photograph; or of an animation, which is shown as it is.
        strength: how much of the change, in [0, 1].
        at: where to look at 100 %, from left and top, in [0, 1]; None for the whole picture.
    """
    assert result.output is not None
    if result.blur_px is None:
        return str(result.upload.path), str(result.output)
    with _DECODING:
        before, after = (_part(each, at) for each in _pixels(result.upload.path, result.output))
    # the page keeps a copy: what was shown before can be written over
    shown = session.folder / "before.jpg", session.folder / "after.jpg"
    for path, pixels in zip(shown, (before, _mixed(before, after, strength)), strict=True):
        _write(path, pixels)
    return str(shown[0]), str(shown[1])


def _mixed(before: Float32, after: Float32, strength: float) -> Float32:
    return (before + strength * (after - before)).astype(np.float32, copy=False)


def _reduced(pixels_uint8: NDArray[np.uint8], factor: int) -> Float32:
    """Return it averaged down, in [0, 1]."""
    small = working_scale.reduce(cast("Any", pixels_uint8), factor)
    return (small / 255).astype(np.float32, copy=False)


def _part(pixels_uint8: NDArray[np.uint8], at: tuple[float, float] | None) -> Float32:
    height, width = pixels_uint8.shape[:2]
    if at is None:
        factor = -(-max(height, width) // WHOLE_PX)
        return _reduced(pixels_uint8, factor)[: height // factor, : width // factor]
    left = round(at[0] * max(0, width - CROP_PX[0]))
    top = round(at[1] * max(0, height - CROP_PX[1]))
    crop = pixels_uint8[top : top + CROP_PX[1], left : left + CROP_PX[0]]
    # a smaller one is framed: the slider is as wide as it is, and would enlarge it
    frame = np.full((CROP_PX[1], CROP_PX[0], 3), _FRAME, np.uint8)
    above, beside = (CROP_PX[1] - crop.shape[0]) // 2, (CROP_PX[0] - crop.shape[1]) // 2
    frame[above : above + crop.shape[0], beside : beside + crop.shape[1]] = crop
    return _reduced(frame, 1)


def _write(path: Path, pixels: Float32) -> None:
    images.write(path, Photograph(pixels=pixels), quality=_PREVIEW_QUALITY)


def file_of(session: Session, result: Result, *, strength: float) -> Path:
    """Return the file to download: the command's own, or its change at a strength below 1.

    A clip, and a photograph that was sharp already, are what they are at every strength.

    Raises:
        InputError: the disk is full.
    """
    assert result.output is not None
    if strength == 1 or result.left_sharp or result.blur_px is None:
        return result.output
    path = session.new_folder() / result.output.name
    with _DECODING:
        photograph = images.read(result.upload.path)
        before = images.working_pixels(photograph)
        after = images.read_rgb(result.output)
        images.write(path, images.with_result(photograph, _mixed(before, after, strength)))
    return path


def zip_of(session: Session, results: Sequence[Result], *, strength: float) -> Path:
    """Return a zip of all that there is to download, each under its own name."""
    path = session.new_folder() / "0.zip"
    used: set[str] = set()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for result in results:
            if result.output is not None:
                archive.write(
                    file_of(session, result, strength=strength), _unused(result.name, used)
                )
    return path


def _unused(name: str, used: set[str]) -> str:
    stem, suffix = Path(name).stem, Path(name).suffix
    names = itertools.chain([name], (f"{stem} ({n}){suffix}" for n in itertools.count(2)))
    chosen = next(each for each in names if each.casefold() not in used)
    used.add(chosen.casefold())
    return chosen
