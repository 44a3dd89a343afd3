"""The page without a browser: what it lets in, keeps apart and refuses."""

import asyncio
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
from PIL import Image

from blur2blur.app import cameras, deblur_tab, deblurring, sessions, shortcut, words
from blur2blur.app.cameras import Cameras, Sorting
from blur2blur.app.limits import Gate, Limits
from blur2blur.app.sessions import Sessions, shown_name
from blur2blur.errors import ConfigError, DataError, InputError
from blur2blur.weights import zoo


@dataclass
class Room:
    sessions: Sessions
    cameras: Cameras
    limits: Limits


@pytest.fixture
def room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Room:
    monkeypatch.setenv("BLUR2BLUR_CAMERAS", str(tmp_path / "cameras"))
    (tmp_path / "visitors" / sessions.UPLOADS).mkdir(parents=True)
    limits = Limits(file_bytes=1000, pixels=10_000, files=3, disk_bytes=5000)
    return Room(Sessions(tmp_path / "visitors", limits), Cameras(), limits)


def uploaded(session: sessions.Session, name: str, content: bytes = b"x") -> str:
    path = session.uploads / name
    path.write_bytes(content)
    return str(path)


def test_uploads_are_numbered_and_only_uploads_are_taken(room: Room):
    session = room.sessions.of("one")
    first, second = session.take_in([uploaded(session, "a $(rm) ;.JPG"), uploaded(session, "b.sh")])
    assert (first.path.name, second.path.name) == ("0000.jpg", "0001")
    assert (first.name, second.name) == ("a _(rm) _.JPG", "b.sh")
    with pytest.raises(InputError, match="not uploaded"):
        session.take_in(["/etc/passwd"])
    with pytest.raises(InputError, match="not uploaded"):
        session.take_in([str(session.uploads / ".." / "other" / "0.jpg")])
    with pytest.raises(InputError, match="4 files"):
        session.take_in([uploaded(session, "a.jpg")] * 4)
    with pytest.raises(InputError, match="too large"):
        session.take_in([uploaded(session, "large.jpg", bytes(1001))])


def test_visitors_are_apart_and_leave_nothing(room: Room):
    one, other = room.sessions.of("one"), room.sessions.of("other")
    assert one is room.sessions.of("one")
    assert one.folder != other.folder
    assert len(one.folder.name) == 32
    one.take_in([uploaded(one, "a.jpg")])
    room.sessions.end("one")
    assert one.stop.is_set()
    assert not one.folder.exists()
    assert other.folder.exists()


def test_a_visitor_whose_photographs_are_computed_is_no_unused_one(tmp_path: Path):
    room = Sessions(tmp_path, Limits(age_s=3600))
    (tmp_path / sessions.UPLOADS).mkdir()
    session = room.of("one")
    Image.new("RGB", (40, 40)).save(session.uploads / "a.png")
    session.used_s -= 4000
    uploads = [str(session.uploads / "a.png")]
    list(deblurring.deblur(session, uploads, converter=zoo.NONE, tell=lambda part, what: None))
    room.of("another")
    assert not session.ended
    assert session.folder.exists()


@pytest.mark.parametrize("name", ["/etc/passwd", "hf:owner/name", "runs/mine", "known-blur", ""])
def test_only_the_pages_own_cameras_are_taken(name: str, room: Room):
    with pytest.raises(InputError, match="no camera of that name"):
        deblur_tab.offered(room, name)
    assert deblur_tab.offered(room, zoo.NONE) == zoo.NONE


@pytest.mark.parametrize("name", ["../../etc/passwd", "<img src=x>.png", "a\x00b.jpg", ".htaccess"])
def test_shown_names_are_only_names(name: str):
    assert not set(shown_name(name)) & set("/\\<>\x00")


def test_a_sharp_photograph_is_left_as_it_is_unless_asked(tmp_path: Path):
    """As the command does: the same file to take away."""
    data = pytest.importorskip("skimage.data")
    (tmp_path / sessions.UPLOADS).mkdir()
    session = Sessions(tmp_path, Limits()).of("one")
    upload = session.uploads / "sharp.png"
    Image.fromarray(data.coffee()).save(upload)

    def result(*, everything: bool) -> deblurring.Result:
        (only,) = deblurring.deblur(
            session,
            [str(upload)],
            converter=zoo.NONE,
            everything=everything,
            tell=lambda part, what: None,
        )
        return only

    left, done = result(everything=False), result(everything=True)
    assert left.left_sharp
    assert left.output is not None
    assert left.output.read_bytes() == upload.read_bytes()
    assert not done.left_sharp
    assert done.output is not None
    assert done.output.read_bytes() != upload.read_bytes()
    assert deblurring.file_of(session, left, strength=0.8) == left.output


@pytest.mark.skipif(sys.platform != "linux", reason="desktop entries are of Linux")
def test_a_shortcut_quotes_the_interpreter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The value is the one that gio started on a Debian desktop, and the specification's rule."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.setattr(sys, "executable", r'/my $programs/"b`\/python')
    path = shortcut.install()
    assert path == tmp_path / "applications" / "blur2blur.desktop"
    (line,) = [each for each in path.read_text().splitlines() if each.startswith("Exec=")]
    quoted = r'/my \\$programs/\\"b\\`\\\\/python'
    assert line == f'Exec="{quoted}" -m blur2blur app'


def test_a_shortcut_elsewhere_is_refused_in_words(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(ConfigError, match="-m blur2blur app"):
        shortcut.install()


def test_names_in_a_zip_differ(room: Room):
    used: set[str] = set()
    names = [deblurring._unused(name, used) for name in ("a.jpg", "A.jpg", "a.jpg", "b.jpg")]
    assert names == ["a.jpg", "A (2).jpg", "a (3).jpg", "b.jpg"]


def test_a_small_photograph_is_framed_at_100_percent(room: Room, tmp_path: Path):
    session = room.sessions.of("one")
    Image.new("RGB", (100, 50), "red").save(tmp_path / "1.png")
    upload = sessions.Upload(path=tmp_path / "1.png", name="1.png")
    result = deblurring.Result(upload=upload, output=tmp_path / "1.png", blur_px=3.0)
    shown, _ = deblurring.preview(session, result, strength=1, at=(0.5, 0.5))
    with Image.open(shown) as picture:
        assert picture.size == deblurring.CROP_PX
        red, _, blue = picture.resize((6, 4), Image.Resampling.NEAREST).getpixel((0, 0))
        assert abs(red - blue) < 5
        box = Image.eval(picture.getchannel("R"), lambda value: 255 * (value > 200)).getbbox()
    assert box == pytest.approx((280, 195, 380, 245), abs=8)


def test_photographs_of_too_many_pixels_are_refused(room: Room, tmp_path: Path):
    Image.new("L", (200, 100)).save(tmp_path / "large.png")
    with pytest.raises(InputError, match="200 x 100"):
        room.limits.check_photograph(tmp_path / "large.png")


def answer(gate: Gate, path: str, *headers: tuple[bytes, bytes]) -> tuple[int, dict[bytes, bytes]]:
    told: list[dict] = []

    async def send(message: dict) -> None:
        told.append(message)

    scope = {"type": "http", "method": "POST", "path": path, "headers": headers}
    with ThreadPoolExecutor(1) as pool:  # where tests in a browser left no loop running
        pool.submit(asyncio.run, gate(scope, None, send)).result()
    return told[0]["status"], dict(told[0]["headers"])


def test_the_gate_keeps_the_disk_budget_and_the_page_at_home(room: Room, tmp_path: Path):
    async def app(scope, receive, send) -> None:
        name = (b"content-disposition", b'attachment; filename="0000.jpg"')
        await send({"type": "http.response.start", "status": 200, "headers": [name]})

    gate = Gate(app, folder=tmp_path / "visitors", limits=room.limits)
    upload = "/gradio_api/upload"
    status, headers = answer(gate, upload, (b"content-length", b"4000"))
    assert status == 200
    assert headers[b"content-disposition"] == b"attachment"
    assert b"default-src 'self'" in headers[b"content-security-policy"]
    assert answer(gate, upload)[0] == 413
    uploaded(room.sessions.of("one"), "a", bytes(2000))
    assert answer(gate, upload, (b"content-length", b"4000"))[0] == 413
    assert answer(gate, "/gradio_api/queue/join", (b"content-length", b"4000"))[0] == 200


def make_sorting(folder: Path, blurry: int, sharp: int) -> Sorting:
    folder.mkdir()
    kinds: dict[Path, cameras.Kind] = {}
    for number in range(blurry + sharp):
        path = folder / f"{number}.png"
        Image.effect_noise((128, 128), 60).convert("RGB").save(path)
        kinds[path] = "blurry" if number < blurry else "sharp"
    return Sorting(kinds=kinds)


def test_a_camera_holds_some_photographs_out(room: Room, tmp_path: Path):
    sorting = make_sorting(tmp_path / "in", 6, 3)
    key, _ = room.cameras.create("my phone", sorting, link=False, advance=lambda: None)
    place = tmp_path / "cameras" / "my phone" / "photographs"
    counts = {side.name: len(list(side.iterdir())) for side in place.iterdir()}
    assert counts == {"trainA": 4, "testA": 2, "trainB": 3}
    assert room.cameras.owns("my phone", key)
    assert not room.cameras.owns("my phone", "")
    assert not room.cameras.owns("../cameras/my phone", key)
    assert room.cameras.names() == []  # not taught yet
    with pytest.raises(ConfigError, match="already"):
        room.cameras.create("my phone", sorting, link=False, advance=lambda: None)


@pytest.mark.parametrize("name", ["", "../x", "a/b", "generic", "none", " x", "x" * 41, "."])
def test_names_that_are_paths_or_taken_are_refused(name: str, room: Room):
    with pytest.raises(ConfigError, match="A name has"):
        room.cameras.create(name, Sorting(kinds={}), link=False, advance=lambda: None)


def test_a_camera_that_cannot_be_learned_leaves_nothing(room: Room, tmp_path: Path):
    sorting = make_sorting(tmp_path / "in", 3, 2)
    Image.new("RGB", (40, 40)).save(tmp_path / "in" / "1.png")
    with pytest.raises(DataError, match="128 px"):
        room.cameras.create("mine", sorting, link=False, advance=lambda: None)
    assert not (tmp_path / "cameras" / "mine").exists()


def test_a_training_stops_though_it_lost_the_ctrl_c(
    room: Room, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """As one that is importing libraries may; whoever looks at it asks again."""
    deaf = "import signal, time; signal.signal(2, signal.SIG_IGN); open('deaf', 'w'); "
    monkeypatch.setattr(cameras, "_MAIN", deaf + "time.sleep(600)")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cameras" / "phone").mkdir(parents=True)
    room.cameras.start("phone")
    while not (tmp_path / "deaf").exists():
        time.sleep(0.1)
    room.cameras.stop("phone")
    while (at := room.cameras.progress("phone")).running:
        time.sleep(0.1)
    assert at.problem == ""


def test_words_of_errors_name_the_visitors_file():
    error = InputError("/tmp/x/0001.jpg cannot be read: it is empty")
    assert words.of_error(error, Path("/tmp/x/0001.jpg"), "cat.jpg") == "it is empty"
