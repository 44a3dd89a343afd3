"""The first tab: photographs in, before and after, and the results to take away."""

from collections.abc import Iterator, Sequence
from typing import Any

import gradio as gr

from blur2blur import images
from blur2blur.app import deblurring, words
from blur2blur.app.deblurring import Result
from blur2blur.app.parts import AT_ONCE, COMPUTE, PRIVATE, Room, explained, named
from blur2blur.app.sessions import Stopped
from blur2blur.errors import InputError
from blur2blur.inference.video.reading import SUFFIXES as CLIP_SUFFIXES
from blur2blur.weights import zoo

_CLICK = "() => setTimeout(() => document.querySelector('#{}')?.click(), 150)"
Updates = dict[Any, Any]


def build(room: Room) -> gr.Dropdown:
    """Lay the tab out; return its list of cameras."""
    results, chosen = gr.State(list[Result]()), gr.State(0)
    with gr.Row():
        with gr.Column(scale=2, min_width=300):
            drop = gr.File(
                label=words.DROP,
                file_count="multiple",
                file_types=sorted(images.SUFFIXES | CLIP_SUFFIXES),
                height=180,
                elem_id="drop",
            )
            camera = gr.Dropdown(
                camera_choices(room),
                value=zoo.NONE,
                label=words.CAMERA,
                info=words.CAMERA_INFO,
                elem_id="camera",
            )
            with gr.Accordion(words.DETAILS, open=False):
                scale = gr.Radio(
                    list(words.SCALES), value="auto", label=words.SCALE, info=words.SCALE_INFO
                )
                everything = gr.Checkbox(label=words.EVERYTHING)
            start = gr.Button(words.START, variant="primary", elem_id="start")
            stop = gr.Button(words.STOP, variant="stop", visible=False, elem_id="stop")
        with gr.Column(scale=3, min_width=300):
            status = gr.Markdown(elem_id="status")
            with gr.Column(visible=False) as shown:
                gallery = gr.Gallery(
                    label=words.RESULTS,
                    columns=6,
                    height=150,
                    allow_preview=False,
                    object_fit="cover",
                    buttons=[],
                    elem_id="results",
                )
                slider = gr.ImageSlider(
                    label=words.LOOK,
                    interactive=False,
                    type="filepath",
                    max_height=640,
                    buttons=["fullscreen"],
                    elem_id="look",
                )
                clip = gr.Video(label=words.CLIP, interactive=False, visible=False, elem_id="clip")
                about = gr.Markdown(elem_id="about")
                with gr.Row():
                    strength = gr.Slider(
                        0,
                        100,
                        value=100,
                        step=5,
                        label=f"{words.STRENGTH} (%)",
                        info=words.STRENGTH_INFO,
                        min_width=280,
                        elem_id="strength",
                    )
                    zoom = gr.Radio(
                        [words.WHOLE, words.ACTUAL],
                        value=words.WHOLE,
                        label=words.ZOOM,
                        min_width=280,
                    )
                with gr.Row(visible=False) as pan:
                    across = gr.Slider(0, 100, value=50, step=1, label=words.ACROSS)
                    down = gr.Slider(0, 100, value=50, step=1, label=words.DOWN)
                with gr.Row():
                    save_one = gr.Button(words.SAVE_ONE, elem_id="save-one")
                    save_all = gr.Button(words.SAVE_ALL, elem_id="save-all")
                ready_one = named(gr.DownloadButton(elem_id="ready-one", elem_classes="unseen"))
                ready_all = named(gr.DownloadButton(elem_id="ready-all", elem_classes="unseen"))

    def run(
        uploads: Sequence[str] | None,
        converter: str,
        sharp_too: bool,
        size: str,
        request: gr.Request,
        progress: gr.Progress = gr.Progress(),  # noqa: B008 (so Gradio finds it)
    ) -> Iterator[Updates]:
        if not uploads:
            raise gr.Error(words.NOTHING_DROPPED, print_exception=False)
        with explained():
            converter = offered(room, converter)
        session, found, note = room.session(request), list[Result](), ""

        def tell(part: float, what: str) -> None:
            progress(part, desc=what)

        yield {
            start: gr.Button(visible=False),
            stop: gr.Button(visible=True),
            status: words.PREPARING,
            shown: gr.Column(visible=False),
            results: [],
        }
        work = deblurring.deblur(
            session,
            uploads,
            converter=converter,
            tell=tell,
            scale=size,
            everything=sharp_too,
        )
        thumbnails: list[tuple[str, str]] = []
        problem: Exception | None = None
        try:
            with explained():
                for each in work:
                    found.append(each)
                    if each.output is not None:
                        moves = each.blur_px is None  # the page shows it by itself
                        small = each.output if moves else deblurring.thumbnail(session, each.output)
                        thumbnails.append((str(small), each.name))
                    yield {status: _told(found), results: found}
        except Stopped:
            note = words.STOPPED
        except gr.Error as error:
            problem = error
        finished = [each for each in found if each.output is not None]
        yield {
            status: "\n\n".join(filter(None, [note, _told(found)])),
            results: finished,
            chosen: 0,
            gallery: gr.Gallery(thumbnails, visible=len(thumbnails) > 1),
            shown: gr.Column(visible=bool(finished)),
            save_all: gr.Button(visible=len(finished) > 1),
        }
        if problem is not None:
            raise problem

    def at_rest() -> Updates:
        # after `run`, whose button takes no click as long as it has not returned
        return {start: gr.Button(visible=True), stop: gr.Button(visible=False)}

    def halt(request: gr.Request) -> None:
        room.session(request).stop.set()

    def look(
        found: list[Result],
        index: int,
        percent: float,
        view: str,
        x: float,
        y: float,
        request: gr.Request,
    ) -> Updates:
        if index >= len(found):
            return {about: ""}
        result, whole = found[index], view == words.WHOLE
        text = words.about(result.name, result.blur_px, result.factor, left_sharp=result.left_sharp)
        assert result.output is not None
        is_clip = result.output.suffix.lower() in CLIP_SUFFIXES
        updates: Updates = {
            about: text,
            slider: gr.ImageSlider(visible=not is_clip),
            clip: gr.Video(value=str(result.output) if is_clip else None, visible=is_clip),
            pan: gr.Row(visible=not whole and result.blur_px is not None),
        }
        if not is_clip:
            with explained():
                pair = deblurring.preview(
                    room.session(request),
                    result,
                    strength=percent / 100,
                    at=None if whole else (x / 100, y / 100),
                )
            updates[slider] = gr.ImageSlider(pair, visible=True)
        return updates

    def choose(event: gr.SelectData) -> int:
        return event.index

    def one(found: list[Result], index: int, percent: float, request: gr.Request) -> Any:  # noqa: ANN401
        with explained():
            session, result = room.session(request), found[index]
            return deblurring.file_of(session, result, strength=percent / 100), result.name

    def every(found: list[Result], percent: float, request: gr.Request) -> Any:  # noqa: ANN401
        with explained():
            archive = deblurring.zip_of(room.session(request), found, strength=percent / 100)
            return archive, "deblurred.zip"

    view: dict[str, Any] = {
        "fn": look,
        "inputs": [results, chosen, strength, zoom, across, down],
        "outputs": [about, slider, clip, pan],
        **AT_ONCE,
    }
    start.click(
        run,
        [drop, camera, everything, scale],
        [start, stop, status, results, chosen, gallery, shown, save_all],
        concurrency_limit=1,
        concurrency_id=COMPUTE,
        show_progress="full",
        show_progress_on=[status],
        **PRIVATE,
    ).then(at_rest, None, [start, stop], **AT_ONCE).then(**view)
    stop.click(halt, None, None, **AT_ONCE)
    gallery.select(choose, None, [chosen], **AT_ONCE).then(**view)
    gr.on(
        [strength.input, zoom.input, across.input, down.input],
        trigger_mode="always_last",
        **view,
    )
    save_one.click(one, [results, chosen, strength], [ready_one], **AT_ONCE).then(
        None, js=_CLICK.format("ready-one"), **PRIVATE
    )
    save_all.click(every, [results, strength], [ready_all], **AT_ONCE).then(
        None, js=_CLICK.format("ready-all"), **PRIVATE
    )
    _build_api(room)
    return camera


def _build_api(room: Room) -> None:
    """Offer one photograph at a time to programs, as `/deblur`."""
    photograph, deblurred = gr.File(visible=False), named(gr.File(visible=False))
    converter = gr.Textbox(zoo.NONE, visible=False)
    strength = gr.Number(1.0, minimum=0, maximum=1, visible=False)

    def deblur(upload: str | None, name: str, share: float | None, request: gr.Request) -> Any:  # noqa: ANN401
        session = room.session(request)
        with explained():
            if not upload:
                raise InputError(words.NOTHING_DROPPED)
            try:
                (result,) = deblurring.deblur(
                    session,
                    [upload],
                    converter=offered(room, name),
                    tell=lambda part, what: None,
                )
            except Stopped as error:
                raise InputError(words.ENDED) from error
            if result.output is None:
                raise InputError(result.problem)
            whole = 1.0 if share is None else share
            return deblurring.file_of(session, result, strength=whole), result.name

    gr.Button(visible=False).click(
        deblur,
        [photograph, converter, strength],
        [deblurred],
        api_name="deblur",
        concurrency_limit=1,
        concurrency_id=COMPUTE,
    )


def camera_choices(room: Room) -> list[tuple[str, str]]:
    """Return the converters to choose from: what is shown, and the name."""
    taught = [(name, name) for name in room.cameras.names()]
    return [(words.ANY_CAMERA, zoo.NONE), *taught]


def offered(room: Room, converter: str) -> str:
    """Return a converter's name if it may be chosen here; a path of this machine may not.

    Raises:
        InputError: it may not.
    """
    shipped = [name for name, entry in zoo.ENTRIES.items() if entry.role == "converter"]
    if converter not in (zoo.NONE, *shipped, *room.cameras.names()):
        raise InputError(words.NO_CAMERA)
    return converter


def _told(found: Sequence[Result]) -> str:
    failures = [(each.upload.name, each.problem) for each in found if each.output is None]
    return words.done(len(found) - len(failures), failures)
