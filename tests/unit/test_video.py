"""Clips through a pipeline: what is kept, what is refused, what is held."""

import logging
import threading
import weakref
from collections.abc import Callable
from pathlib import Path
from time import sleep

import numpy as np
import pytest

from blur2blur import extras, networks
from blur2blur.errors import Blur2BlurError, ConfigError, InputError
from blur2blur.inference import Pipeline
from blur2blur.inference.video import clips, codecs
from blur2blur.inference.video.codecs import CODECS, Quality
from blur2blur.inference.video.times import Times
from blur2blur.tiling import Pixels

av = pytest.importorskip("av")
made_clips = pytest.importorskip("made_clips")

LOSSLESS = Quality(codec="ffv1")


@pytest.fixture(scope="module")
def identity() -> Pipeline:
    """Untrained networks begin as the identity."""
    network = networks.build("mimo_unet", base_channels=4, blocks=1)
    return Pipeline(network, device="cpu")


class StandIn:
    """A pipeline that does one thing to frames, at full size."""

    def __init__(self, function: Callable[[Pixels], Pixels]) -> None:
        self._function = function

    def choose_factor(self, _frame: Pixels) -> int:
        return 1

    def process(self, pixels: Pixels, *, factor: int) -> Pixels:
        assert factor == 1
        return self._function(pixels)


class Brighter(StandIn):
    """Adds a tenth, and tells how many of its results are alive."""

    def __init__(self) -> None:
        super().__init__(self._brighter)
        self.alive, self.most_alive, self.lock = 0, 0, threading.Lock()

    def _brighter(self, pixels: Pixels) -> Pixels:
        for array in (pixels, result := np.clip(pixels + np.float32(0.1), 0, 1)):
            with self.lock:
                self.alive += 1
                self.most_alive = max(self.most_alive, self.alive)
            weakref.finalize(array, self._died)
        return result

    def _died(self) -> None:
        with self.lock:
            self.alive -= 1


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
@pytest.mark.parametrize(
    "times", [made_clips.CONSTANT, made_clips.VARIABLE], ids=["constant", "variable"]
)
def test_time_stamps_are_kept(tmp_path: Path, identity: Pipeline, suffix: str, times: list[int]):
    source = made_clips.make(tmp_path / f"in{suffix}", times=times, sound="aac")
    output = tmp_path / f"out{suffix}"
    clips.process(identity, source, output)
    assert len(made_clips.times(output)) == made_clips.FRAMES
    assert made_clips.times(output) == made_clips.times(source)
    if suffix != ".mkv":  # which stores milliseconds
        assert made_clips.times(output) == [time * made_clips.TIME_BASE for time in times]


def test_times_of_a_transport_stream_are_kept_in_mp4(tmp_path: Path, identity: Pipeline):
    source = made_clips.make(tmp_path / "in.ts")
    clips.process(identity, source, tmp_path / "out.mp4")
    assert made_clips.times(tmp_path / "out.mp4") == made_clips.times(source)


def test_sound_is_copied(tmp_path: Path, identity: Pipeline):
    source = made_clips.make(tmp_path / "in.mp4", sound="aac")
    clips.process(identity, source, tmp_path / "out.mp4")
    assert made_clips.packets(tmp_path / "out.mp4", "audio") == made_clips.packets(source, "audio")


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
@pytest.mark.parametrize("degrees", [90, -90, 180])
def test_frames_stay_as_stored_and_rotation_is_kept(
    tmp_path: Path, identity: Pipeline, suffix: str, degrees: int
):
    source = made_clips.make(tmp_path / f"in{suffix}", turned=degrees)
    output = tmp_path / f"out{suffix}"
    clips.process(identity, source, output)
    (first, *_) = made_clips.decoded(output)
    assert abs(first.rotation) == abs(degrees)
    assert first.rotation == made_clips.decoded(source)[0].rotation
    assert (first.width, first.height) == (64, 48)


@pytest.mark.parametrize("matrix", [1, 6, 9], ids=["bt709", "bt601", "bt2020"])
@pytest.mark.parametrize("full", [False, True], ids=["limited", "full"])
@pytest.mark.parametrize("pixels", ["yuv420p", "yuv444p", "yuv422p10le"])
def test_an_identity_gives_back_every_sample_and_tag(
    tmp_path: Path, identity: Pipeline, matrix: int, full: bool, pixels: str
):
    source = made_clips.make(tmp_path / "in.mkv", matrix=matrix, full_range=full, pixels=pixels)
    clips.process(identity, source, tmp_path / "out.mkv", quality=LOSSLESS)
    before, after = made_clips.decoded(source)[0], made_clips.decoded(tmp_path / "out.mkv")[0]
    for tag in ("colorspace", "color_range", "color_primaries", "color_trc"):
        assert getattr(after, tag) == getattr(before, tag), tag
    assert after.format.name.replace("j", "") == pixels
    pairs = zip(made_clips.samples(source), made_clips.samples(tmp_path / "out.mkv"), strict=True)
    assert all(np.array_equal(*planes) for pair in pairs for planes in zip(*pair, strict=True))


def test_networks_see_the_colours_that_a_viewer_sees(tmp_path: Path):
    """The frames were made of RGB scenes, by FFmpeg; chroma at full size, so nothing blurs it."""
    seen: list[Pixels] = []

    def look(pixels: Pixels) -> Pixels:
        seen.append(pixels)
        return pixels

    bars = np.zeros((48, 64, 3), np.uint8)
    for number, colour in enumerate([(200, 30, 30), (30, 200, 30), (30, 30, 200), (90, 90, 90)]):
        bars[:, 16 * number : 16 * (number + 1)] = colour
    expected = bars / np.float32(255)
    for matrix, full in ((1, False), (6, False), (6, True), (9, True)):
        source = made_clips.make(
            tmp_path / f"{matrix}{full}.mkv", pixels="yuv444p", matrix=matrix, full_range=full,
            pictures=[bars] * made_clips.FRAMES,
        )  # fmt: skip
        clips.process(StandIn(look), source, tmp_path / "out.mkv", quality=LOSSLESS)
        assert np.abs(seen[0] - expected).max() < 3 / 255
        seen.clear()


def test_a_change_reaches_the_file(tmp_path: Path):
    source = made_clips.make(tmp_path / "in.mkv")
    clips.process(Brighter(), source, tmp_path / "out.mkv", quality=LOSSLESS)
    before, after = made_clips.samples(source)[0], made_clips.samples(tmp_path / "out.mkv")[0]
    assert np.median(after[0] - before[0]) == pytest.approx(21.9, abs=0.6)  # a tenth of 219
    assert abs(np.median(after[1] - before[1])) <= 1


@pytest.mark.parametrize(
    ("suffix", "quality", "pixels"),
    [
        (".mp4", Quality(codec="h264", crf=0), "yuv444p"),
        (".mkv", Quality(codec="ffv1"), "yuv420p"),
        (".webm", Quality(codec="vp9"), "yuv420p"),
    ],
)
def test_odd_sides_are_kept(
    tmp_path: Path, identity: Pipeline, suffix: str, quality: Quality, pixels: str
):
    source = made_clips.make(tmp_path / "in.mkv", codec="ffv1", size=(65, 47))
    clips.process(identity, source, tmp_path / f"out{suffix}", quality=quality)
    (first, *_) = made_clips.decoded(tmp_path / f"out{suffix}")
    assert (first.width, first.height, first.format.name) == (65, 47, pixels)
    difference = (
        made_clips.samples(source)[0][0] - made_clips.samples(tmp_path / f"out{suffix}")[0][0]
    )
    assert np.abs(difference).mean() < 3


def test_av1_refuses_odd_sides_in_one_line(tmp_path: Path, identity: Pipeline):
    source = made_clips.make(tmp_path / "in.mkv", codec="ffv1", size=(65, 47))
    with pytest.raises(ConfigError, match="whose sides are odd; use h264 or hevc"):
        clips.process(identity, source, tmp_path / "out.mkv", quality=Quality(codec="av1"))


@pytest.mark.parametrize("codec", CODECS)
def test_every_codec_is_written_and_ten_bits_are_kept_where_it_can(
    tmp_path: Path, identity: Pipeline, codec: str
):
    source = made_clips.make(tmp_path / "in.mkv", pixels="yuv420p10le", size=(128, 96))
    clips.process(identity, source, tmp_path / "out.mkv", quality=Quality(codec=codec))
    with av.open(str(tmp_path / "out.mkv")) as container:
        assert container.streams.video[0].codec_context.codec.canonical_name == codec
    (first, *_) = made_clips.decoded(tmp_path / "out.mkv")
    assert first.format.components[0].bits == (8 if codec == "vp9" else 10)


@pytest.mark.parametrize(
    ("made_with", "suffix", "codec"),
    [("libx264", ".mp4", "h264"), ("ffv1", ".mkv", "ffv1"), ("mpeg4", ".mkv", "h264"),
     ("libx264", ".webm", "vp9")],
)  # fmt: skip
def test_the_codec_is_the_clips_own_where_it_can_be(
    tmp_path: Path, identity: Pipeline, made_with: str, suffix: str, codec: str
):
    source = made_clips.make(tmp_path / "in.mkv", codec=made_with)
    clips.process(identity, source, tmp_path / f"out{suffix}")
    with av.open(str(tmp_path / f"out{suffix}")) as container:
        assert container.streams.video[0].codec_context.codec.canonical_name == codec


def test_containers_hold_what_is_said_of_them(tmp_path: Path):
    for suffix in codecs.WRITTEN_SUFFIXES:
        container, held = Quality().check_container(Path(f"x{suffix}"))
        for codec in held:
            with av.open(str(tmp_path / f"x{suffix}"), "w", format=container) as file:
                file.add_stream(CODECS[codec].encoders[0], rate=30)


def test_high_dynamic_range_is_warned_of(
    tmp_path: Path, identity: Pipeline, caplog: pytest.LogCaptureFixture
):
    source = made_clips.make(tmp_path / "in.mkv", pixels="yuv420p10le", matrix=9, transfer=16)
    with caplog.at_level(logging.WARNING):
        clips.process(identity, source, tmp_path / "out.mkv")
    assert "high dynamic range (PQ)" in caplog.text
    assert made_clips.decoded(tmp_path / "out.mkv")[0].color_trc == 16


def _refused(pipeline: Pipeline, source: Path, output: Path, kind: type[Blur2BlurError]) -> str:
    before = set(output.parent.iterdir())
    with pytest.raises(kind) as caught:
        clips.process(pipeline, source, output)
    assert set(output.parent.iterdir()) == before
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("name", ["in.mp4", "in.mkv"])
def test_a_clip_cut_short_is_refused_with_the_last_good_frame(
    tmp_path: Path, identity: Pipeline, name: str
):
    made = made_clips.make(tmp_path / f"whole-{name}", codec="ffv1" if "mkv" in name else "libx264")
    if name == "in.mp4":  # with its header in front, as cameras of today and the web have it
        front = tmp_path / f"front-{name}"
        with (
            av.open(str(front), "w", options={"movflags": "faststart"}) as out,
            av.open(str(made)) as whole,
        ):
            stream = out.add_stream_from_template(whole.streams.video[0], opaque=True)
            for packet in whole.demux(video=0):
                if packet.dts is not None:
                    packet.stream = stream
                    out.mux(packet)
        made = front
    content = made.read_bytes()
    (tmp_path / name).write_bytes(content[: len(content) * 6 // 10])
    message = _refused(identity, tmp_path / name, tmp_path / f"out-{name}", InputError)
    assert "is damaged after frame " in message


def test_what_is_no_clip_is_refused(tmp_path: Path, identity: Pipeline):
    out = tmp_path / "out.mp4"
    (tmp_path / "text.mp4").write_text("no clip " * 100)
    (tmp_path / "empty.mp4").touch()
    with av.open(str(tmp_path / "sound.m4a"), "w", format="mp4") as container:
        audio = container.add_stream("aac", rate=48_000)
        frame = av.AudioFrame.from_ndarray(np.zeros((2, 4800), np.float32), format="fltp")
        frame.sample_rate, frame.pts = 48_000, 0
        container.mux(audio.encode(frame))
        container.mux(audio.encode(None))
    assert "is no clip" in _refused(identity, tmp_path / "text.mp4", out, InputError)
    assert "is empty" in _refused(identity, tmp_path / "empty.mp4", out, InputError)
    assert "holds no video (only: audio)" in _refused(
        identity, tmp_path / "sound.m4a", out, InputError
    )
    assert "no file" in _refused(identity, tmp_path / "missing.mp4", out, InputError)


def test_outputs_that_cannot_be_are_refused(tmp_path: Path, identity: Pipeline):
    source = made_clips.make(tmp_path / "in.mp4", sound="aac")
    assert "is the input" in _refused(identity, source, source, InputError)
    assert "does not hold aac sound; write an .mkv" in _refused(
        identity, source, tmp_path / "out.webm", InputError
    )
    assert "choose one of" in _refused(identity, source, tmp_path / "out.gif", ConfigError)


def _coded(path: Path, codec: str, **options: str) -> list[np.ndarray]:
    """Write a clip by FFmpeg's own muxer for that suffix; each frame is lighter than the last."""
    pictures = [np.full((48, 64, 3), 20 + 18 * number, np.uint8) for number in range(10)]
    with av.open(str(path), "w", format="h264" if path.suffix == ".264" else None) as container:
        stream = container.add_stream(codec, rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for picture in pictures:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture)))
        container.mux(stream.encode(None))
    return pictures


@pytest.mark.parametrize(
    ("name", "codec", "options"),
    [
        ("a.avi", "libx264", {"bf": "2"}),
        ("a.avi", "libx264", {"bf": "0"}),
        ("a.avi", "mpeg4", {"bf": "2"}),
        ("a.264", "libx264", {"bf": "0"}),
        ("a.264", "libx264", {"bf": "2"}),
    ],
)
def test_frames_without_times_of_their_own_are_shown_one_after_another(
    tmp_path: Path, name: str, codec: str, options: dict[str, str]
):
    pictures = _coded(tmp_path / name, codec, **options)
    out = tmp_path / "out.mkv"
    clips.process(Brighter(), tmp_path / name, out, quality=LOSSLESS)
    with av.open(str(out)) as container:
        frames = list(container.decode(video=0))
    assert len(frames) == len(pictures)
    light = [frame.to_ndarray(format="gray").mean() for frame in frames]
    assert light == sorted(light)
    steps = np.diff([float(frame.time) for frame in frames])
    np.testing.assert_allclose(steps, 1 / 25, atol=0.002)


def test_the_same_time_twice_becomes_two():
    class Packet:
        size, dts = 9, None

    class Container:
        class format:
            name = "matroska"

    class Video:
        class codec_context:
            class codec:
                canonical_name = "h264"

    class Frame:
        duration = 40

        def __init__(self, pts: int | None) -> None:
            self.pts = pts

    times = Times(Container(), Video())
    frames = [Frame(pts) for pts in (0, 40, 40, 80, 70, None, 160, 20)]
    for frame in frames:
        times.add(Packet())
        times.correct(frame)
    assert [frame.pts for frame in frames] == [0, 40, 41, 80, 81, 121, 160, 20]


def test_attached_fonts_are_kept_where_the_container_has_a_place(
    tmp_path: Path, identity: Pipeline, caplog: pytest.LogCaptureFixture
):
    font = b"\0\1\0\0" + bytes(range(200))
    with av.open(str(tmp_path / "a.mkv"), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        container.add_attachment("Font.ttf", "application/x-truetype-font", font)
        picture = np.zeros((48, 64, 3), np.uint8)
        container.mux(stream.encode(av.VideoFrame.from_ndarray(picture)))
        container.mux(stream.encode(None))
    clips.process(identity, tmp_path / "a.mkv", tmp_path / "b.mkv")
    with av.open(str(tmp_path / "b.mkv")) as container:
        (attached,) = (each for each in container.streams if each.type == "attachment")
        assert (attached.name, attached.data) == ("Font.ttf", font)
        assert attached.mimetype == "application/x-truetype-font"
    assert caplog.messages == []
    clips.process(identity, tmp_path / "a.mkv", tmp_path / "b.mp4")
    assert "attached files (Font.ttf) are left out" in caplog.messages[0]


def test_times_that_go_back_are_refused(
    tmp_path: Path, identity: Pipeline, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(Times, "correct", lambda self, frame: None)
    times = [0, 100, 200, 200, 300, 400, 500, 600]
    source = made_clips.make(tmp_path / "in.mkv", codec="ffv1", times=times)
    message = _refused(identity, source, tmp_path / "out.mkv", InputError)
    assert message.startswith(f"{source}: time stamps do not rise at")


def test_an_interruption_leaves_nothing(tmp_path: Path):
    source = made_clips.make(tmp_path / "in.mp4")
    seen = 0

    def interrupted(pixels: Pixels) -> Pixels:
        nonlocal seen
        seen += 1
        if seen == 5:
            raise KeyboardInterrupt
        return pixels

    with pytest.raises(KeyboardInterrupt):
        clips.process(StandIn(interrupted), source, tmp_path / "out" / "out.mp4")
    assert list((tmp_path / "out").iterdir()) == []


def test_no_more_than_three_frames_are_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Though encoding is slow: one is computed, one encoded; input and output of each."""
    add_change = clips.colour.add_change

    def slow(*arguments: object) -> list[Pixels]:
        sleep(0.05)
        return add_change(*arguments)

    monkeypatch.setattr(clips.colour, "add_change", slow)
    pipeline = Brighter()
    source = made_clips.make(tmp_path / "in.mkv")
    done: list[tuple[int, int | None]] = []
    clips.process(pipeline, source, tmp_path / "out.mkv", on_frame=lambda *told: done.append(told))
    assert [number for number, _ in done] == list(range(1, made_clips.FRAMES + 1))
    assert pipeline.most_alive <= 6
    assert pipeline.alive == 0


def test_without_av_it_says_what_to_install(
    tmp_path: Path, identity: Pipeline, monkeypatch: pytest.MonkeyPatch
):
    source = made_clips.make(tmp_path / "in.mp4")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    told = _refused(identity, source, tmp_path / "out.mp4", ConfigError)
    assert extras.install("video") in told
