"""Photographs decoded ahead and written behind: order, bounds, failures, interruption."""

import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skimage.data
import torch
from PIL import Image
from torch import Tensor, nn

from blur2blur import images
from blur2blur.errors import CheckpointError, InputError
from blur2blur.images import Raster
from blur2blur.inference import Pipeline, folder, planning
from blur2blur.inference.planning import Job, Wanted

NAMES = ["a.png", "b.jpg", "c.png", "d.png", "e.png"]
SECONDS = 20.0  # until a wait for another thread counts as in vain


class Half(nn.Module):
    """Halves its input, after what the test wants to happen during a computation."""

    def __init__(self, before: Callable[[Tensor], None] = lambda _: None) -> None:
        super().__init__()
        self.before = before
        self.gain = nn.Parameter(torch.tensor(0.5))

    def forward(self, image: Tensor) -> Tensor:
        self.before(image)
        return image * self.gain


def _jobs(root: Path) -> list[Job]:
    """Write photographs whose height tells which they are."""
    (root / "in").mkdir(exist_ok=True)
    noise = np.random.default_rng(0)
    for index, name in enumerate(NAMES):
        pixels = noise.integers(0, 256, (10 + index, 16, 3), np.uint8)
        Image.fromarray(pixels).save(root / "in" / name)
    return planning.plan([str(root / "in")], root / "out", Wanted(overwrite=True)).photographs


def _run(
    jobs: list[Job],
    network: nn.Module,
    on_photograph: Callable[[int, Job], None] = lambda *_: None,
    on_tile: Callable[[int, int], None] = lambda *_: None,
) -> list[folder.Failure]:
    pipeline = Pipeline(network, device="cpu", precision="fp32")
    outcome = folder.run(pipeline, jobs, on_photograph=on_photograph, on_tile=on_tile)
    assert outcome.left_sharp == []
    return outcome.failures


def _index(image: Tensor) -> int:
    return image.shape[-2] - 10


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> "Log":
    return Log(monkeypatch)


class Log:
    """What has begun and ended, counted; others can wait for it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.before_writing: Callable[[], object] = lambda: None
        self.counts: Counter[str] = Counter()
        self.most: Counter[str] = Counter()
        self.changed = threading.Condition()
        decode, encode = images.decode, images.encode

        def logged_decode(path: Path) -> Raster:
            self.add("decoding")
            raster = decode(path)
            self.add("decoded")
            return raster

        def logged_encode(path: Path, raster: Raster, **options: Any) -> tuple[str, ...]:
            self.add("writing")
            self.before_writing()
            notes = encode(path, raster, **options)
            self.add("written")
            return notes

        monkeypatch.setattr(images, "decode", logged_decode)
        monkeypatch.setattr(images, "encode", logged_encode)

    def add(self, what: str) -> None:
        with self.changed:
            self.counts[what] += 1
            count = self.counts
            self.most["ahead"] = max(self.most["ahead"], count["decoding"] - count["computed"])
            self.most["behind"] = max(self.most["behind"], count["computed"] - count["written"])
            self.changed.notify_all()

    def wait(self, what: str, number: int) -> bool:
        with self.changed:
            return self.changed.wait_for(lambda: self.counts[what] >= number, SECONDS)


def test_the_next_is_decoded_and_the_last_written_during_a_computation(
    tmp_path: Path, log: Log
) -> None:
    met: list[bool] = []

    def during(image: Tensor) -> None:
        index = _index(image)
        met.append(log.wait("decoded", min(index + 2, len(NAMES))) and log.wait("written", index))

    assert _run(_jobs(tmp_path), Half(during)) == []
    assert met == [True] * len(NAMES)


def test_one_lies_decoded_ahead_and_one_is_written(tmp_path: Path, log: Log) -> None:
    """A slow disk or a slow network holds the others up instead of filling the memory."""
    log.before_writing = lambda: time.sleep(0.05)
    _run(_jobs(tmp_path), Half(), on_tile=lambda *_: log.add("computed"))
    assert log.most["behind"] == 2  # the one that is written, and the one that was just computed
    slow = Half(lambda _: time.sleep(0.05))
    log.counts.clear()
    _run(_jobs(tmp_path), slow, on_tile=lambda *_: log.add("computed"))
    assert log.most["ahead"] == 2  # the one that is computed, and the next


def test_outputs_are_those_of_one_after_the_other(tmp_path: Path) -> None:
    jobs = _jobs(tmp_path)
    pipeline = Pipeline(Half(), Half(), device="cpu", precision="fp32")
    wanted = Wanted(save_converted=True)
    jobs = planning.plan([str(tmp_path / "in")], tmp_path / "out", wanted).photographs
    folder.run(pipeline, jobs, on_photograph=lambda *_: None, on_tile=lambda *_: None)
    outputs = [path for job in jobs for path in (job.output, job.converted) if path is not None]
    together = [path.read_bytes() for path in outputs]
    for job in jobs:
        folder.process(pipeline, job)
    assert together == [path.read_bytes() for path in outputs]
    assert len(outputs) == 2 * len(NAMES)


def test_failures_of_each_kind_come_in_the_order_of_the_inputs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = _jobs(tmp_path)
    encode, others_failed = images.encode, threading.Event()

    def full(path: Path, raster: Raster, **options: Any) -> tuple[str, ...]:
        others_failed.wait(SECONDS)
        if path.name in ("a.png", "e.png"):
            raise InputError(f"cannot write {path}: the disk is full") from OSError()
        return encode(path, raster, **options)

    monkeypatch.setattr(images, "encode", full)
    (tmp_path / "in/b.jpg").write_bytes(b"no image")

    def fail(image: Tensor) -> None:
        if _index(image) == 2:
            others_failed.set()
            raise CheckpointError("cannot be computed")

    failures = _run(jobs, Half(fail))
    assert [failure.job for failure in failures] == [jobs[0], jobs[1], jobs[2], jobs[4]]
    for failure, word in zip(failures, ["disk", "not an image", "computed", "disk"], strict=True):
        assert word in str(failure.error)
        assert failure.job.source.name in str(failure.error)
        # frames would keep the pixels of every failed photograph until the end
        assert failure.error.__traceback__ is None
        assert failure.error.__context__ is None
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["d.png"]


def test_photographs_too_large_to_read_or_write_are_reported_and_the_rest_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = _jobs(tmp_path)
    decode, encode = images.decode, images.encode

    def read(path: Path) -> Raster:
        if path.name == "b.jpg":
            raise MemoryError
        return decode(path)

    def write(path: Path, raster: Raster, **options: Any) -> tuple[str, ...]:
        if path.name == "d.png":
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried")
        return encode(path, raster, **options)

    monkeypatch.setattr(images, "decode", read)
    monkeypatch.setattr(images, "encode", write)
    failures = _run(jobs, Half())
    assert [failure.job for failure in failures] == [jobs[1], jobs[3]]
    assert all("too large for the memory that is free" in str(f.error) for f in failures)
    assert len(list((tmp_path / "out").iterdir())) == 3


def test_progress_is_told_in_order_and_in_the_callers_thread(tmp_path: Path) -> None:
    told: list[tuple[object, ...]] = []
    jobs = _jobs(tmp_path)
    _run(
        jobs,
        Half(),
        on_photograph=lambda done, job: told.append((threading.get_ident(), done, job)),
        on_tile=lambda done, total: told.append((threading.get_ident(), "tile", done, total)),
    )
    here = threading.get_ident()
    expected = [[(here, done, job), (here, "tile", 1, 1)] for done, job in enumerate(jobs)]
    assert told == [line for lines in expected for line in lines]


@pytest.mark.parametrize("stop", [KeyboardInterrupt, ZeroDivisionError])
def test_whatever_stops_it_leaves_whole_files_and_no_thread(
    tmp_path: Path, stop: type[BaseException], log: Log
) -> None:
    threads = threading.active_count()
    log.before_writing = lambda: log.wait("stopped", 1)

    def interrupt(image: Tensor) -> None:
        if _index(image) == 1:
            log.wait("writing", 1)
            log.add("stopped")
            raise stop

    with pytest.raises(stop):
        _run(_jobs(tmp_path), Half(interrupt))
    assert threading.active_count() == threads
    (output,) = (tmp_path / "out").iterdir()  # no temporary file either
    assert output.name == "a.png"
    assert images.read_rgb(output).shape == (10, 16, 3)


def test_a_mistake_of_ours_while_writing_is_not_swallowed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(path: Path, raster: Raster, **options: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(images, "encode", broken)
    with pytest.raises(ZeroDivisionError):
        _run(_jobs(tmp_path)[:1], Half())


def test_no_photographs(tmp_path: Path) -> None:
    assert _run([], Half()) == []


def test_what_is_changed_is_measured(tmp_path: Path) -> None:
    """Half of noise around one half is one quarter away from it, darker or not."""
    pipeline = Pipeline(Half(), device="cpu", precision="fp32")
    outcome = folder.run(
        pipeline,
        _jobs(tmp_path),
        measure=True,
        on_photograph=lambda *_: None,
        on_tile=lambda *_: None,
    )
    assert [change.mean_change for change in outcome.changes] == pytest.approx([0.25] * 5, abs=0.05)


def test_what_is_copied_whole_loses_nothing_and_is_not_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "in").mkdir()
    Image.fromarray(skimage.data.coffee()).save(tmp_path / "in/sharp.jpg", quality=95)
    with (tmp_path / "in/sharp.jpg").open("ab") as file:
        file.write(b"\0\0\0\x18ftypmp42" + bytes(900))
    pipeline = Pipeline(Half(), device="cpu", precision="fp32")
    for wanted, warned in ((Wanted(leave_sharp=True), 0), (Wanted(leave_sharp=False), 1)):
        jobs = planning.plan([str(tmp_path / "in")], tmp_path / f"out{warned}", wanted).photographs
        folder.run(pipeline, jobs, on_photograph=lambda *_: None, on_tile=lambda *_: None)
        assert sum("motion photo" in text for text in caplog.messages) == warned
