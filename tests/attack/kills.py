"""Processes that are killed at a random moment, then run again: nothing is lost or left behind.

One case in eight starts an interpreter for each run, as a user does; the others fork one that has
imported everything, so that the signals meet the work itself, and many more fit into a minute.
"""

import json
import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from functools import cache
from pathlib import Path

import av
import skimage.data
from PIL import Image
from safetensors.numpy import load_file

from blur2blur.images.listing import MANIFEST
from blur2blur.inference.manifest import results_in

SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
CODES = {signal.SIGKILL: (-9,), signal.SIGTERM: (143, -15), signal.SIGINT: (130, -2)}
STEPS = 12
FRAMES = 40
MOST_KILLS = {True: 4, False: 12}  # of a case with interpreters of its own, and of others
_FORKING = multiprocessing.get_context("forkserver")
_IMPORTED = ["blur2blur.cli.main", "blur2blur.cli.deblur", "blur2blur.api", "openvino", "av"]
_IMPORTED += ["blur2blur.training.launch", "blur2blur.inference.video.clips"]
_CAMERA = Path(__file__).parents[1] / "small_camera.toml"
_TRAINING = [
    *("network.options={base_channels=4,blocks=1}", "data.crop_px=64", "data.batch_size=1"),
    *("data.workers=1", "data.validation_crops=1", f"known.camera={_CAMERA}", "run.device=cpu"),
    *("run.log_every=1", "run.validate_every=4", "run.checkpoint_every=2", "run.samples_every=5"),
    *("run.precision=32-true", f"run.steps={STEPS}"),
]


def _make(place: Path) -> None:
    for folder, side in (("sharp", 160), ("photos", 128)):
        (place / folder).mkdir(parents=True)
        for index in range(4):
            pixels = skimage.data.astronaut()[40 * index : 40 * index + side, :side]
            Image.fromarray(pixels).save(place / folder / f"{index}.png")
    with av.open(str(place / "clip.mp4"), "w") as clip:
        stream = clip.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        for at in range(FRAMES):
            pixels = skimage.data.astronaut()[2 * at : 2 * at + 64, 150:246]
            clip.mux(stream.encode(av.VideoFrame.from_ndarray(pixels.copy())))
        clip.mux(stream.encode(None))


def _command(kind: str) -> list[str]:
    if kind != "training":
        return ["deblur", {"folder": "photos", "clip": "clip.mp4"}[kind], "-o", "out"]
    sets = [word for each in _TRAINING for word in ("--set", each)]
    return ["train", "deblurrer", "--data", "sharp", "-o", "out", *sets]


class _Forked:
    """A command in a process that has imported everything; as `subprocess.Popen`."""

    def __init__(self, kind: str, place: Path) -> None:
        (place / "begun").unlink(missing_ok=True)
        self._process = _FORKING.Process(target=_run, args=(_command(kind), place))
        self._process.start()
        while not (place / "begun").exists() and self._process.is_alive():
            time.sleep(0.005)

    def send_signal(self, number: int) -> None:
        if self._process.is_alive():
            assert self._process.pid is not None
            os.kill(self._process.pid, number)

    def wait(self) -> int | None:
        self._process.join()
        return self._process.exitcode


def _run(words: list[str], place: Path) -> None:
    from blur2blur.cli.main import main

    os.chdir(place)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    os.dup2(os.open("err", os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 2)
    sys.argv = ["blur2blur", *words]
    (place / "begun").touch()
    main()


def _start(kind: str, place: Path, *, fresh: bool) -> "subprocess.Popen[bytes] | _Forked":
    if not fresh:
        return _Forked(kind, place)
    command = [sys.executable, "-c", "from blur2blur.cli.main import main; main()"]
    with (place / "err").open("wb") as err:
        return subprocess.Popen(
            [*command, *_command(kind)],
            cwd=place,
            stdout=subprocess.DEVNULL,
            stderr=err,
        )


def _content(kind: str, place: Path) -> object:
    if kind != "training":
        # the manifest tells times and the runs that were killed; its results are compared
        made = sorted(path for path in (place / "out").iterdir() if path.name != MANIFEST)
        recorded = {Path(path).name for path in results_in(place / "out")}
        return {path.name: path.read_bytes() for path in made}, recorded
    weights = load_file(place / "out" / "last.safetensors")
    lines = (place / "out" / "log.jsonl").read_text().splitlines()
    losses = [{k: v for k, v in json.loads(line).items() if "seconds" not in k} for line in lines]
    return {name: each.tobytes() for name, each in weights.items()}, losses


@cache
def _undisturbed(kind: str, root: Path, *, fresh: bool) -> tuple[float, object]:
    place = root / f"whole-{kind}-{fresh}"
    _make(place)
    start = time.monotonic()
    code = _start(kind, place, fresh=fresh).wait()
    assert code == 0, (place / "err").read_text()
    return time.monotonic() - start, _content(kind, place)


def case(number: int, seed: int, root: Path) -> tuple[str, str, int]:
    """Kill a run some times, and finish it; return its kind, what went wrong, and the signals."""
    rng = random.Random(f"kills {seed} {number}")
    kind, number_ = rng.choice(("clip", "folder", "training")), rng.choice(SIGNALS)
    name, fresh, sent = f"{kind}, {number_.name}", number % 8 == 0, 0
    os.environ["OMP_NUM_THREADS"] = "1"  # of what is forked from here, too
    _FORKING.set_forkserver_preload(_IMPORTED)
    seconds, wanted = _undisturbed(kind, root, fresh=fresh)
    place = root / f"{kind}-{number}"
    _make(place)
    try:
        for sent in range(1, rng.randint(1, MOST_KILLS[fresh]) + 1):
            process = _start(kind, place, fresh=fresh)
            time.sleep(rng.uniform(0.3 if fresh else 0.0, 1.0) * seconds)
            process.send_signal(number_)
            code = process.wait()
            told = (place / "err").read_text()
            if code not in (0, *CODES[number_]) or "Traceback" in told:
                return name, f"{code}: {told[-2000:]}", sent
        time.sleep(1.1)  # what was left is then old enough
        if _start(kind, place, fresh=fresh).wait() != 0:
            return name, (place / "err").read_text()[-2000:], sent
        if _content(kind, place) != wanted:
            return name, "the result differs from that of an undisturbed run", sent
        left = [str(path) for path in (place / "out").rglob(".*") if path.name != MANIFEST]
        return name, f"left behind: {left}" if left else "", sent
    finally:
        shutil.rmtree(place)
