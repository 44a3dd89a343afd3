"""What both tabs of the page are made of."""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import gradio as gr
from gradio.data_classes import FileData

from blur2blur.app.cameras import Cameras
from blur2blur.app.limits import Limits
from blur2blur.app.sessions import Session, Sessions
from blur2blur.errors import Blur2BlurError, ConfigError

GivenAway = TypeVar("GivenAway", gr.File, gr.DownloadButton)

COMPUTE = "compute"
"""Name of the line that everybody who wants something computed stands in."""

PRIVATE: dict[str, Any] = {"api_visibility": "private"}
"""What keeps an event of the page out of its HTTP interface."""

AT_ONCE: dict[str, Any] = {"queue": False, "show_progress": "hidden", **PRIVATE}
"""What lets an event pass the line of those who wait, who would hold it up and whom it would."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """What the page works with.

    Attributes:
        sessions: who is here.
        cameras: those that were taught.
        limits: what is accepted.
        local: whether only people at this machine can come, who may name its folders.
    """

    sessions: Sessions
    cameras: Cameras
    limits: Limits
    local: bool

    def session(self, request: gr.Request) -> Session:
        """Return whose request it is."""
        if not request.session_hash:
            raise ConfigError("a request without a session")
        return self.sessions.of(request.session_hash)


def named(component: GivenAway) -> GivenAway:
    """Let a file or download be given as (path, name): it is offered under that name."""

    def postprocess(value: tuple[Path, str] | None) -> FileData | None:
        if value is None:
            return None
        path, name = value
        return FileData(path=str(path), orig_name=name, size=path.stat().st_size)

    # no derived class: Gradio would write a stub file beside this one
    component.postprocess = postprocess  # pyright: ignore[reportAttributeAccessIssue]
    return component


@contextmanager
def explained() -> Generator[None]:
    """Show a visitor's mistake as a notice."""
    try:
        yield
    except Blur2BlurError as error:
        raise gr.Error(str(error), duration=None, print_exception=False) from error


def teller(progress: gr.Progress) -> Callable[[str, int, int | None], None]:
    """Return what the functions of `api` tell their progress to."""

    def tell(what: str, done: int, total: int | None) -> None:
        progress((done, total), desc=what, unit="photographs")

    return tell
