"""The second tab: photographs sorted and corrected, the training watched, the verdict."""

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gradio as gr
import pandas as pd

from blur2blur import extras, images
from blur2blur.app import cameras, deblurring, words
from blur2blur.app.cameras import Kind, Progress, Sorting
from blur2blur.app.deblur_tab import camera_choices
from blur2blur.app.parts import AT_ONCE, COMPUTE, PRIVATE, Room, explained, teller
from blur2blur.errors import DataError

_POLL_S = 2.0
_SHEETS: tuple[tuple[Kind, str], ...] = (
    ("blurry", words.BLURRY),
    ("sharp", words.SHARP),
    ("left out", words.LEFT_OUT),
)
_NOBODY = {"name": "", "key": ""}
Updates = dict[Any, Any]


def remembered() -> tuple[gr.BrowserState, gr.Timer]:
    """Return whose camera this browser teaches, found again after a reload, and what polls it.

    They belong outside of tabs, which are not there until they are looked at.
    """
    own = gr.BrowserState(_NOBODY, storage_key="blur2blur-camera", secret="blur2blur")
    return own, gr.Timer(_POLL_S)


def build(
    room: Room,
    page: gr.Blocks,
    camera_list: gr.Dropdown,
    mine: gr.BrowserState,
    timer: gr.Timer,
) -> None:
    """Lay the tab out; a training that ends adds its camera to `camera_list`."""
    if importlib.util.find_spec("torch") is None:
        gr.Markdown(words.NEEDS_TORCH.format(command=f"`{extras.install('train')}`"))
        return
    sorting, small = gr.State(None), gr.State(dict[Path, str]())
    linked, running = gr.State(False), gr.State(False)

    with gr.Column() as giving:
        gr.Markdown(words.CAMERA_LEAD)
        with gr.Row():
            drop = gr.File(
                label=words.DROP_CAMERA,
                file_count="multiple",
                file_types=sorted(images.SUFFIXES),
                height=160,
                elem_id="camera-drop",
            )
            folder = gr.Textbox(
                label=words.FOLDER, info=words.FOLDER_INFO, visible=room.local, elem_id="folder"
            )
        sort = gr.Button(words.SORT, elem_id="sort")
        told = gr.Markdown(elem_id="sorted")
        with gr.Column(visible=False) as correcting:
            clicks = gr.Radio(
                [words.TO_OTHER, words.TO_LEFT_OUT],
                value=words.TO_OTHER,
                label=words.CLICK_MOVES,
            )
            with gr.Row():
                sheets: dict[Kind, gr.Gallery] = {
                    kind: gr.Gallery(
                        label=label,
                        columns=4,
                        height=240,
                        min_width=280,
                        allow_preview=False,
                        object_fit="cover",
                        buttons=[],
                        elem_id=f"sheet-{kind.replace(' ', '-')}",
                    )
                    for kind, label in _SHEETS
                }
            with gr.Row():
                name = gr.Textbox(
                    label=words.NAME, info=words.NAME_INFO, max_length=40, elem_id="name"
                )
                teach = gr.Button(words.TEACH, variant="primary", elem_id="teach")
            minutes = gr.Markdown()
    with gr.Column(visible=False) as teaching:
        status = gr.Markdown(elem_id="training")
        hints = gr.Markdown()
        with gr.Row():
            stop = gr.Button(words.STOP, variant="stop", elem_id="stop-training")
            resume = gr.Button(words.CONTINUE, variant="primary", elem_id="resume")
            another = gr.Button(words.NEW_CAMERA, elem_id="another")
        with gr.Column(visible=False) as seen:
            gr.Markdown(words.SHEET)
            sheet = gr.Image(
                label=words.SHEET,
                show_label=False,
                interactive=False,
                height=520,
                buttons=["fullscreen"],
                elem_id="sheet",
            )
        before_after = gr.DownloadButton(words.SAVE_PAGE, visible=False, elem_id="before-after")
        with gr.Accordion(words.DETAILS, open=False):
            gr.Markdown(words.CURVE)  # a title of the plot's own is cut off on a phone
            curve = gr.LinePlot(x="step", y="dB", color="camera", color_title=" ", height=260)
            numbers = gr.Markdown(elem_id="numbers")

    def sort_them(
        uploads: Sequence[str] | None,
        place: str,
        request: gr.Request,
        progress: gr.Progress = gr.Progress(),  # noqa: B008 (so Gradio finds it)
    ) -> Updates:
        with explained():
            session = room.session(request)
            named = place.strip() if room.local else ""
            if not uploads and not named:
                raise DataError(words.NOTHING_DROPPED)
            taken = [] if named else session.take_in(uploads or ())
            for each in taken:
                room.limits.check_photograph(each.path)
            root = Path(named).expanduser() if named else taken[0].path.parent
            progress(0, desc=words.SORTING)
            found = cameras.sort(root, teller(progress))
            thumbnails: dict[Path, str] = {}
            for path in found.kinds:
                progress((len(thumbnails), len(found.kinds)), desc=words.SORTING)
                thumbnails[path] = str(deblurring.thumbnail(session, path))
        needed = words.minutes_needed(cameras.minutes_needed())
        return {
            sorting: found,
            small: thumbnails,
            linked: bool(named),
            correcting: gr.Column(visible=True),
            minutes: needed,
            **show(found, thumbnails),
        }

    def show(found: Sorting, thumbnails: dict[Path, str]) -> Updates:
        of: dict[Kind, list[Path]] = {kind: found.of(kind) for kind, _ in _SHEETS}
        blurry, sharp, left_out = (len(of[kind]) for kind, _ in _SHEETS)
        text = words.sorted_counts(blurry, sharp, left_out, len(found.unreadable))
        return {
            told: "\n\n".join(filter(None, [text, found.note])),
            **{
                sheets[kind]: gr.Gallery(
                    [thumbnails[path] for path in of[kind]],
                    visible=kind != "left out" or bool(of[kind]),
                )
                for kind in of
            },
        }

    def mover(kind: Kind) -> Any:  # noqa: ANN401
        def move(
            found: Sorting, thumbnails: dict[Path, str], how: str, event: gr.SelectData
        ) -> Updates:
            members = found.of(kind)
            if event.index < len(members):
                out: Kind = "left out" if how == words.TO_LEFT_OUT else "sharp"
                found.kinds[members[event.index]] = (
                    out
                    if kind == "blurry"
                    else ("left out" if how == words.TO_LEFT_OUT and kind == "sharp" else "blurry")
                )
            return {sorting: found, **show(found, thumbnails)}

        return move

    def begin(
        found: Sorting,
        called: str,
        link: bool,
        request: gr.Request,
        progress: gr.Progress = gr.Progress(),  # noqa: B008 (so Gradio finds it)
    ) -> Updates:
        done = 0

        def advance() -> None:
            nonlocal done
            done += 1
            progress((done, len(found.kinds)), desc=words.CHECKING, unit="photographs")

        with explained():
            key, notes = room.cameras.create(called.strip(), found, link=link, advance=advance)
            room.cameras.start(called.strip())
        own = {"name": called.strip(), "key": key}
        return {mine: own, hints: "\n".join(f"- {note}" for note in notes), **state(own, request)}

    def state(own: dict[str, str], request: gr.Request) -> Updates:
        """Return what the page shows of the camera that this browser teaches."""
        called = own.get("name", "")
        if not room.cameras.owns(called, own.get("key", "")):
            return {
                giving: gr.Column(visible=True),
                teaching: gr.Column(visible=False),
                running: False,
            }
        at, session = room.cameras.progress(called), room.session(request)
        return {
            giving: gr.Column(visible=False),
            teaching: gr.Column(visible=True),
            running: at.running,
            status: _status(called, at),
            stop: gr.Button(visible=at.running),
            resume: gr.Button(visible=not at.running and at.verdict is None),
            another: gr.Button(visible=not at.running),
            seen: gr.Column(visible=at.sheet is not None),
            sheet: session.lend(at.sheet) if at.sheet else None,
            before_after: gr.DownloadButton(
                value=session.lend(at.before_after) if at.before_after else None,
                visible=at.before_after is not None,
            ),
            curve: _curve(at),
            numbers: words.verdict_details(at.verdict) if at.verdict else "",
            camera_list: gr.Dropdown(camera_choices(room)),
        }

    def poll(own: dict[str, str], was_running: bool, request: gr.Request) -> Updates:
        # always asked: a timer that is made inactive and then active again does not tick
        # one that was sent before the browser had heard of the camera begun here knows of none yet
        return state(own, request) if was_running and own["name"] else {running: gr.skip()}

    def halt(own: dict[str, str]) -> None:
        if room.cameras.owns(own["name"], own["key"]):
            room.cameras.stop(own["name"])

    def go_on(own: dict[str, str], request: gr.Request) -> Updates:
        with explained():
            if room.cameras.owns(own["name"], own["key"]):
                room.cameras.start(own["name"])
        return state(own, request)

    watched: list[Any] = [
        giving,
        teaching,
        running,
        status,
        stop,
        resume,
        another,
        seen,
        sheet,
        before_after,
        curve,
        numbers,
        camera_list,
    ]
    shown = [told, *sheets.values()]
    sort.click(
        sort_them,
        [drop, folder],
        [sorting, small, linked, correcting, minutes, *shown],
        concurrency_limit=1,
        concurrency_id=COMPUTE,
        show_progress_on=[told],
        **PRIVATE,
    )
    for kind, each in sheets.items():
        each.select(mover(kind), [sorting, small, clicks], [sorting, *shown], **AT_ONCE)
    teach.click(
        begin,
        [sorting, name, linked],
        [mine, hints, *watched],
        show_progress_on=[minutes],
        **PRIVATE,
    )
    timer.tick(poll, [mine, running], watched, **AT_ONCE)
    page.load(state, [mine], watched, **AT_ONCE)
    stop.click(halt, [mine], None, **AT_ONCE)
    resume.click(go_on, [mine], watched, **AT_ONCE)
    another.click(lambda: _NOBODY, None, [mine], **AT_ONCE).then(state, [mine], watched, **AT_ONCE)


def _status(name: str, at: Progress) -> str:
    if at.running:
        return words.training(name, at.step, at.steps, at.left_s)
    if at.verdict is not None:
        return words.verdict(name, at.verdict)
    problem = f"\n\n{at.problem}" if at.problem else ""
    return words.paused(name, at.step, at.steps) + problem


def _curve(at: Progress) -> pd.DataFrame:
    first = at.curve[0][1] if at.curve else 0.0
    rows = [(step, first, words.ANY) for step, _ in at.curve]
    rows += [(step, value, words.YOURS) for step, value in at.curve]
    return pd.DataFrame(rows, columns=["step", "dB", "camera"])
