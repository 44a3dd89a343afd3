"""The page as a whole, and the server that gives it to browsers."""

import hmac
import os
import shutil
import signal
import tempfile
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

# before Gradio is imported, which reads it then
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"

import gradio as gr
from gradio.themes import Soft
from starlette.middleware import Middleware

from blur2blur.app import camera_tab, deblur_tab, deblurring, words
from blur2blur.app.cameras import Cameras
from blur2blur.app.limits import Gate, Limits
from blur2blur.app.parts import Room
from blur2blur.app.sessions import UPLOADS, Sessions
from blur2blur.errors import ConfigError

LOCAL_HOSTS = ("127.0.0.1", "localhost", "::1")
_FONTS = ("system-ui", "sans-serif")
_MONO = ("ui-monospace", "monospace")
_CSS = """
footer, .unseen { display: none !important }
#status { min-height: 4rem }
#results .grid-container { grid-template-columns: repeat(auto-fill, minmax(110px, 1fr)) !important }
[id^=sheet-] .grid-container {
  grid-template-columns: repeat(auto-fill, minmax(90px, 1fr)) !important
}
#numbers :is(td, th) { overflow-wrap: normal !important; word-break: normal !important }
#numbers :is(td, th) { padding: 0.3rem !important }
.gradio-container { width: 100% !important; max-width: 1180px !important }
.gradio-container { margin: 0 auto !important }
"""


class Server:
    """A page that is being served, until it is closed.

    Attributes:
        url: where it is.
    """

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int | None = None,
        password: str | None = None,
        limits: Limits | None = None,
        training: Sequence[str] = (),
    ) -> None:
        """Serve from now on, in other threads.

        Args:
            host: address to listen at.
            port: None for the first free one from 7860 on.
            password: asked for from everybody; needed at a host that others reach.
            limits: what is accepted.
            training: settings besides those of the preset, as `--set`.

        Raises:
            ConfigError: a host that others reach without a password, or a port that is taken.
        """
        local = host in LOCAL_HOSTS
        if not local and not password:
            raise ConfigError(
                f"--host {host} lets others in, who could fill this machine and use its cameras: "
                "give a --password, or leave --host out"
            )
        limits = limits or Limits()
        self._root = Path(tempfile.mkdtemp(prefix="blur2blur-app-"))
        os.environ["GRADIO_TEMP_DIR"] = str(self._root / UPLOADS)
        (self._root / UPLOADS).mkdir()
        self._room = Room(
            sessions=Sessions(self._root, limits),
            cameras=Cameras(training),
            limits=limits,
            local=local and not password,
        )
        self._page = build(self._room)
        self._page.queue(max_size=limits.waiting, default_concurrency_limit=4)
        gate = Middleware(Gate, folder=self._root, limits=limits)
        options: dict[str, Any] = {}
        if password:
            options["auth"] = _asks_for(password)
            options["auth_message"] = words.SIGN_IN
        try:
            _, self.url, _ = self._page.launch(
                server_name=host,
                server_port=port,
                max_file_size=limits.file_bytes,
                share=False,
                ssr_mode=False,
                pwa=False,
                mcp_server=False,
                enable_monitoring=False,
                run_history=False,
                footer_links=[],
                prevent_thread_lock=True,
                quiet=True,
                _frontend=False,  # else a machine too busy to answer itself in 3 s ends it
                app_kwargs={"middleware": [gate]},
                theme=Soft(font=_FONTS, font_mono=_MONO),
                css=_CSS,
                **options,
            )
        except OSError as error:
            self.close()
            raise ConfigError(f"cannot serve at {host}: {error}; choose another --port") from error

    def wait(self) -> None:
        """Wait until Ctrl-C, or until the system asks to end."""
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            return

    def close(self) -> None:
        """Stop serving and training, and delete all visitors' files."""
        self._room.sessions.end_all()
        self._room.cameras.close()
        deblurring.wait_for_end()
        self._page.close(verbose=False)
        shutil.rmtree(self._root, ignore_errors=True)


def _asks_for(password: str) -> Callable[[str, str], bool]:
    def lets_in(_user: str, given: str) -> bool:
        return hmac.compare_digest(given.encode(), password.encode())

    return lets_in


def build(room: Room) -> gr.Blocks:
    """Return the page."""
    limits = room.limits
    with gr.Blocks(
        title=words.TITLE,
        analytics_enabled=False,
        delete_cache=(limits.age_s // 4 or 1, limits.age_s),
    ) as page:
        gr.Markdown(f"# {words.TITLE}\n{words.LEAD}")
        mine, timer = camera_tab.remembered()
        with gr.Tabs():
            with gr.Tab(words.TAB_DEBLUR):
                camera = deblur_tab.build(room)
            with gr.Tab(words.TAB_CAMERA):
                camera_tab.build(room, page, camera, mine, timer)
        gr.Markdown(
            words.limits(
                limits.file_bytes, limits.pixels, limits.disk_bytes, limits.age_s, limits.waiting
            ),
            elem_id="limits",
        )

        def leave(request: gr.Request) -> None:
            if request.session_hash:
                room.sessions.end(request.session_hash)

        page.unload(leave)
    return page
