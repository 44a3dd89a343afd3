"""What one visitor may ask of the machine, and the gate that every request passes."""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from blur2blur import images
from blur2blur.app import words
from blur2blur.errors import InputError
from blur2blur.inference.inputs import is_clip

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

_MB = 1_000_000
_UPLOAD_PATH = "/gradio_api/upload"
# whatever a page would load from elsewhere, the browser refuses
_POLICY = (
    "default-src 'self' data: blob:; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; "
    "style-src 'self' 'unsafe-inline'; frame-ancestors 'none'; form-action 'self'; base-uri 'self'"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What is accepted.

    Attributes:
        file_bytes: of one uploaded file.
        pixels: of one photograph.
        files: of one visitor at once.
        waiting: requests in the queue; more are told to come back.
        disk_bytes: of all visitors' files together.
        age_s: seconds after which files nobody uses are deleted.
    """

    file_bytes: int = 500 * _MB
    pixels: int = 100_000_000
    files: int = 1000
    waiting: int = 200
    disk_bytes: int = 10_000 * _MB
    age_s: int = 6 * 3600

    def check_photograph(self, path: Path) -> None:
        """Raise InputError for a photograph of too many pixels, or a file that is none.

        Only the header is read. A clip or an animation, which has frames, passes.
        """
        if is_clip(path):
            return
        height, width = images.read_size(path)
        if height * width > self.pixels:
            raise InputError(words.too_many_pixels(width, height, self.pixels))


def used_bytes(folder: Path) -> int:
    """Return what all files below a folder take."""
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            try:
                total += (Path(place) / name).stat(follow_symlinks=False).st_size
            except OSError:  # deleted meanwhile
                continue
    return total


def _nameless(header: tuple[bytes, bytes]) -> tuple[bytes, bytes]:
    """Drop a file's name on this machine, which would count for more than the page's own."""
    name, value = header
    return (name, value.partition(b";")[0]) if name == b"content-disposition" else header


class Gate:
    """ASGI middleware: no uploads beyond the disk budget, and nothing loaded from elsewhere."""

    def __init__(self, app: "ASGIApp", *, folder: Path, limits: Limits) -> None:
        self._app, self._folder, self._limits = app, folder, limits

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        """Answer one request, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_guarded(message: "Message") -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [
                    *map(_nameless, message.get("headers", [])),
                    (b"content-security-policy", _POLICY.encode()),
                    (b"referrer-policy", b"no-referrer"),
                    (b"x-content-type-options", b"nosniff"),
                ]
            await send(message)

        if scope["method"] == "POST" and scope["path"].rstrip("/").endswith(_UPLOAD_PATH):
            reason = self._why_refused(dict(scope["headers"]).get(b"content-length"))
            if reason is not None:
                body = reason.encode()
                headers = [
                    (b"content-type", b"text/plain; charset=utf-8"),
                    (b"content-length", str(len(body)).encode()),
                ]
                start = {"type": "http.response.start", "status": 413, "headers": headers}
                await send_guarded(start)
                await send({"type": "http.response.body", "body": body})
                return
        await self._app(scope, receive, send_guarded)

    def _why_refused(self, content_length: bytes | None) -> str | None:
        if content_length is None or not content_length.isdigit():
            return words.NO_LENGTH
        free = min(
            self._limits.disk_bytes - used_bytes(self._folder),
            shutil.disk_usage(self._folder).free - self._limits.file_bytes,
        )
        return words.DISK_FULL if int(content_length) > free else None
