"""The page in a real browser, without network: every state is met, and a picture of it kept.

The pictures go to BLUR2BLUR_SHOTS; look at them after a change. Training is a few steps.
"""

import json
import os
import re
import shutil
import signal
import struct
import subprocess
import sys
import urllib.request
import zipfile
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import pytest
import torch
from PIL import Image

from blur2blur import api, images, tensors
from blur2blur.app import words
from blur2blur.weights import verdict
from conftest import crops

pytest.importorskip("gradio")
sync_api = pytest.importorskip("playwright.sync_api")

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
TRAINING = [
    "run.steps=4", "run.log_every=1", "run.validate_every=2", "run.checkpoint_every=1",
    "run.samples_every=2", "run.precision=32-true", "simulated.compared=8", "data.crop_px=64",
    "data.validation_crops=2", "data.batch_size=1",
]  # fmt: skip
TIMEOUT_MS = 600_000  # ends a test that hangs; a busy machine may take long over what works
LIMIT_BYTES = 2_000_000
WAITING = 8
DOCUMENT = Path(__file__).parents[2] / "docs/app.md"


SERVE = f"""
from blur2blur.app.limits import Limits
from blur2blur.app.serve import Server
limits = Limits(file_bytes={LIMIT_BYTES}, pixels=1_000_000, waiting={WAITING})
server = Server(limits=limits, training={TRAINING})
print(server.url, flush=True)
try:
    server.wait()
finally:
    server.close()
"""


@pytest.fixture(scope="session")
def cameras(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cameras")


@pytest.fixture(scope="session")
def temporary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the page keeps its visitors' files."""
    return tmp_path_factory.mktemp("temporary")


@pytest.fixture(scope="session")
def url(cameras: Path, temporary: Path) -> Iterator[str]:
    environment = {**os.environ, "BLUR2BLUR_CAMERAS": str(cameras), "TMPDIR": str(temporary)}
    command = [sys.executable, "-W", "ignore", "-c", SERVE]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as server:
        assert server.stdout is not None
        address = server.stdout.readline().strip()
        assert address, "the page does not start"
        yield address
        server.send_signal(signal.SIGINT)
        assert server.wait(timeout=60) == 0
    assert not list(temporary.glob("blur2blur-app-*"))


@pytest.fixture(scope="session")
def shots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where pictures of the page go: BLUR2BLUR_SHOTS, or a folder that is told of nowhere."""
    named = os.environ.get("BLUR2BLUR_SHOTS")
    folder = Path(named) if named else tmp_path_factory.mktemp("shots")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def chromium() -> Iterator[object]:
    if CHROMIUM is None:
        pytest.skip("no chromium: apt-get install chromium")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def open_page(chromium, url: str) -> Iterator[Callable[..., object]]:
    """Return what opens the page in a new browser; requests to anywhere else fail the test."""
    elsewhere: list[str] = []
    contexts: list[object] = []

    def route(handler) -> None:
        address = handler.request.url
        if address.startswith((url, "data:", "blob:")):
            handler.continue_()
            return
        elsewhere.append(address)
        handler.abort()

    def open_(**options: object):
        context = chromium.new_context(**{"viewport": {"width": 1280, "height": 900}, **options})
        contexts.append(context)
        context.set_default_timeout(TIMEOUT_MS)
        context.route("**/*", route)
        page = context.new_page()
        page.goto(url)
        page.locator("#start").wait_for()
        return page

    yield open_
    for context in contexts:
        context.close()
    assert elsewhere == []


@pytest.fixture(scope="session")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six blurry and six sharp photographs of 128 px, and one of 256 px."""
    root = tmp_path_factory.mktemp("photographs")
    for index, crop in enumerate(crops("astronaut", 6, 128)):
        blurry = torch.nn.functional.avg_pool2d(crop[None], 5, 1, 2)[0]
        tensors.write_rgb(root / "camera" / f"blurry{index}.png", blurry)
    for index, crop in enumerate(crops("coffee", 6, 128)):
        tensors.write_rgb(root / "camera" / f"sharp{index}.png", crop)
    (large,) = crops("chelsea", 1, 256)
    tensors.write_rgb(root / "the cat.jpg", torch.nn.functional.avg_pool2d(large[None], 5, 1, 2)[0])
    return root


def drop(page, *files: Path, into: str = "#drop") -> None:
    page.locator(f"{into} input[type=file]").set_input_files([str(file) for file in files])
    page.locator(f"{into} .file-preview").first.wait_for()


@pytest.mark.parametrize("look", ["desktop", "phone", "dark"])
def test_a_photograph_is_deblurred_and_taken_away(look, open_page, photographs, shots, tmp_path):
    """Dropped, looked at with less strength, downloaded as the command would have written it."""
    options = {
        "desktop": {},
        "phone": {"viewport": {"width": 390, "height": 844}, "has_touch": True},
        "dark": {"color_scheme": "dark"},
    }[look]
    page = open_page(**options)
    page.screenshot(path=shots / f"{look}-1-empty.png", full_page=True)
    drop(page, photographs / "the cat.jpg")
    page.locator("#start").click()
    page.locator("#about").get_by_text("the cat.jpg").wait_for()
    page.locator("#look img").first.wait_for()
    page.wait_for_timeout(500)
    page.screenshot(path=shots / f"{look}-2-deblurred.png", full_page=True)
    with page.expect_download() as download:
        page.locator("#save-one").click()
    assert download.value.suggested_filename == "the cat.jpg"
    download.value.save_as(tmp_path / "full.jpg")
    api.deblur_folder(photographs / "the cat.jpg", tmp_path / "command")
    command = (tmp_path / "command" / "the cat.jpg").read_bytes()
    assert (tmp_path / "full.jpg").read_bytes() == command
    if look != "desktop":
        return
    before = page.locator("#look img").last.get_attribute("src")
    page.locator("#strength input[type=number]").fill("0")
    page.locator("#strength input[type=number]").press("Enter")
    page.wait_for_function(
        "src => [...document.querySelectorAll('#look img')].at(-1).src !== src", arg=before
    )
    page.get_by_label(words.ACTUAL).check()
    page.get_by_label(f"range slider for {words.ACROSS}").wait_for()
    page.screenshot(path=shots / "desktop-3-strength-0-at-100.png", full_page=True)
    with page.expect_download() as download:
        page.locator("#save-one").click()
    download.value.save_as(tmp_path / "none.jpg")
    source, none = (
        images.read_rgb(path) for path in (photographs / "the cat.jpg", tmp_path / "none.jpg")
    )
    assert abs(source - none).max() < 0.03


def test_several_are_a_zip_and_bad_files_are_told_of(open_page, photographs, shots, tmp_path):
    """A bomb, a file that is none and two of one name beside good ones; then too large a file."""
    bomb = tmp_path / "bomb.png"
    header = b"IHDR" + struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0)
    bomb.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + struct.pack(">I", 13)
        + header
        + struct.pack(">I", zlib.crc32(header))
    )
    (tmp_path / "no <b>photograph</b>.jpg".replace("/", "_")).write_text("text")
    bad = [bomb, *tmp_path.glob("no*")]
    page = open_page()
    good = sorted((photographs / "camera").glob("blurry*"))[:2]
    drop(page, *good, *bad)
    page.locator("#start").click()
    page.locator("#save-all").wait_for()
    page.locator("#status").get_by_text("bomb.png").wait_for()
    page.wait_for_timeout(500)
    page.screenshot(path=shots / "desktop-4-several.png", full_page=True)
    assert "2 finished" in page.locator("#status").inner_text()
    page.locator("#results button.thumbnail-item").nth(1).click()
    page.locator("#about").get_by_text("blurry1.png").wait_for()
    with page.expect_download() as download:
        page.locator("#save-all").click()
    download.value.save_as(tmp_path / "all.zip")
    with zipfile.ZipFile(tmp_path / "all.zip") as archive:
        assert archive.namelist() == ["blurry0.png", "blurry1.png"]
    large = tmp_path / "large.png"
    large.write_bytes(bytes(LIMIT_BYTES + 1))
    page.locator("#drop input[type=file]").last.set_input_files(str(large))
    page.locator(".toast-body").first.wait_for()
    page.screenshot(path=shots / "desktop-5-too-large.png", full_page=True)


def test_stop_keeps_what_is_finished(open_page, photographs, shots, temporary):
    """Pressed while three dozen photographs are under way; who leaves meanwhile leaves nothing."""
    page = open_page()
    drop(page, *sorted((photographs / "camera").glob("*")) * 3)
    page.locator("#start").click()
    page.locator("#status").get_by_text("finished").wait_for()
    page.screenshot(path=shots / "desktop-6-running.png", full_page=True)
    page.locator("#stop").click()
    page.locator("#status").get_by_text(words.STOPPED).wait_for()
    page.locator("#start").wait_for()
    assert page.locator("#save-all").is_visible()

    def folders() -> set[Path]:
        return {path for path in temporary.glob("blur2blur-app-*/*") if len(path.name) == 32}

    (mine,) = (folder for folder in folders() if len(list(folder.rglob("*.png"))) > 36)
    page.locator("#start").click()
    page.locator("#stop").wait_for()  # how many are finished is not told one by one
    page.context.close()
    other = open_page()
    for _ in range(TIMEOUT_MS // 200):
        if mine not in folders():
            break
        other.wait_for_timeout(200)
    assert mine not in folders()
    drop(other, photographs / "the cat.jpg")
    other.locator("#start").click()
    other.locator("#about").get_by_text("the cat.jpg").wait_for()


def test_a_camera_is_taught_and_found_again(open_page, photographs, cameras, shots, tmp_path):
    """Sorted, corrected by a click, trained to the end over a reload; then it is in the list."""
    page, other = open_page(), open_page()
    page.get_by_role("tab", name=words.TAB_CAMERA).click()
    page.locator("#camera-drop").wait_for()
    page.screenshot(path=shots / "desktop-7-camera.png", full_page=True)
    drop(page, *sorted((photographs / "camera").glob("*")), into="#camera-drop")
    page.locator("#sort").click()
    page.locator("#sorted").get_by_text("4 blurry, 6 sharp, 2 left out").wait_for()
    page.locator("#sheet-left-out button.thumbnail-item").first.click()
    page.locator("#sorted").get_by_text("5 blurry, 6 sharp, 1 left out").wait_for()
    page.locator("#sheet-blurry button.thumbnail-item").first.click()
    page.locator("#sorted").get_by_text("4 blurry, 7 sharp, 1 left out").wait_for()
    page.locator("#sheet-sharp button.thumbnail-item").first.click()
    page.locator("#sorted").get_by_text("5 blurry, 6 sharp, 1 left out").wait_for()
    page.wait_for_timeout(500)
    page.screenshot(path=shots / "desktop-8-sorted.png", full_page=True)
    page.locator("#name textarea, #name input").first.fill("../evil")
    page.locator("#teach").click()
    page.locator(".toast-body").get_by_text("A name has").wait_for()
    page.locator("#name textarea, #name input").first.fill("my phone")
    page.locator("#teach").click()
    page.locator("#training").get_by_text("my phone").wait_for()
    page.screenshot(path=shots / "desktop-9-teaching.png", full_page=True)
    page.locator("#stop-training").click()
    page.locator("#resume").wait_for()
    page.reload()
    page.get_by_role("tab", name=words.TAB_CAMERA).click()
    page.locator("#resume").click()
    page.locator("#training").get_by_text("help").first.wait_for()
    page.locator("#sheet img").wait_for()
    page.get_by_role("button", name=words.DETAILS).last.click()
    page.wait_for_timeout(1000)
    page.screenshot(path=shots / "desktop-10-verdict.png", full_page=True)
    with page.expect_download() as download:
        page.locator("#before-after").click()
    download.value.save_as(tmp_path / "page.html")
    assert "00000.png" in (tmp_path / "page.html").read_text(encoding="utf-8")
    assert verdict.read(cameras / "my phone" / "run") is not None
    page.get_by_role("tab", name=words.TAB_DEBLUR).click()
    page.locator("#camera input").click()
    page.get_by_role("option", name="my phone").wait_for()
    # another browser sees none of it
    other.get_by_role("tab", name=words.TAB_CAMERA).click()
    other.locator("#camera-drop").wait_for()
    assert not other.locator("#training").is_visible()


def test_a_clip_is_shown_and_what_cannot_be_read_is_told_of(
    open_page, photographs, shots, tmp_path
):
    """A clip beside an animation and a clip that is none: chosen in turn, and played."""
    made_clips = pytest.importorskip("made_clips")
    frames = [Image.open(photographs / "camera" / f"blurry{number}.png") for number in range(2)]
    frames[0].save(tmp_path / "moves.gif", save_all=True, append_images=frames[1:])
    (tmp_path / "none.mp4").write_bytes(b"no clip")
    page = open_page()
    drop(page, made_clips.make(tmp_path / "clip.mp4"), *tmp_path.glob("[mn]*.*"))
    page.locator("#start").click()
    page.locator("#about").get_by_text("clip.mp4").wait_for()
    page.wait_for_function("document.querySelector('#clip video')?.readyState >= 2")
    status = page.locator("#status").inner_text()
    assert "2 finished" in status
    assert "none.mp4 could not be done" in status
    page.screenshot(path=shots / "desktop-11-clip.png", full_page=True)
    page.locator("#results button.thumbnail-item").nth(1).click()
    page.locator("#about").get_by_text("moves.gif").wait_for()
    page.locator("#look img").first.wait_for()
    page.screenshot(path=shots / "desktop-12-animation.png", full_page=True)


def test_those_beyond_the_line_get_one_notice(open_page, url, photographs, shots):
    """The line is filled by programs; who comes then is told, in the page and by the client."""
    from gradio_client import Client, handle_file

    page = open_page()
    drop(page, photographs / "the cat.jpg")
    noticed, refused = Event(), set[str]()

    def keep_asking(client: Client) -> None:
        while not noticed.is_set():
            try:
                client.predict(
                    handle_file(photographs / "the cat.jpg"), "none", 1.0, api_name="/deblur"
                )
            except Exception as error:  # noqa: BLE001 (whatever the client raises)
                refused.add(str(error))

    clients = [Client(url, verbose=False) for _ in range(2)]
    with ThreadPoolExecutor(2 * WAITING) as pool:
        for number in range(2 * WAITING):
            pool.submit(keep_asking, clients[number % 2])
        try:
            while not (notices := page.locator(".toast-body").all_inner_texts()):
                page.locator("#start").click()  # again, where a place was free for a moment
                page.wait_for_timeout(500)
            page.screenshot(path=shots / "desktop-13-queue-full.png", full_page=True)
        finally:
            noticed.set()
    (notice,) = notices
    assert "busy" in notice
    assert "Queue is full! Please try again." in refused


def test_a_program_is_answered_as_documented(url, photographs, tmp_path):
    """The example of docs/app.md, which gets what the command writes; nothing else is there."""
    with urllib.request.urlopen(f"{url}gradio_api/info") as answer:
        assert list(json.load(answer)["named_endpoints"]) == ["/deblur"]
    (code,) = re.findall(r"```py\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)
    code = code.replace("http://127.0.0.1:7860", url) + "print(path)\n"
    shutil.copy(photographs / "the cat.jpg", tmp_path / "photo.jpg")
    command = [sys.executable, "-W", "ignore", "-c", code]
    told = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    api.deblur_folder(tmp_path / "photo.jpg", tmp_path / "command")
    expected = (tmp_path / "command" / "photo.jpg").read_bytes()
    assert Path(told.stdout.splitlines()[-1]).read_bytes() == expected


def test_a_host_that_others_reach_demands_a_password():
    code = "from blur2blur.cli.main import main; main()"
    command = [sys.executable, "-W", "ignore", "-c", code, "app", "--host", "0.0.0.0"]
    told = subprocess.run(command, capture_output=True, text=True, check=False)
    assert told.returncode == 2
    assert "--password" in told.stderr
