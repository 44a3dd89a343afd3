"""Visitors, each with a folder of unguessable name that goes when they do."""

import os
import re
import secrets
import shutil
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from blur2blur import images
from blur2blur.app import words
from blur2blur.app.limits import Limits
from blur2blur.errors import InputError
from blur2blur.inference.video.reading import SUFFIXES as CLIP_SUFFIXES

UPLOADS = "uploads"
_NAME_CHARACTERS = 80


class Stopped(Exception):
    """The visitor pressed stop, or left."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """An uploaded file under a number, in place of its own name.

    Attributes:
        path: where it is; of its own name nothing but a suffix that is known.
        name: what its owner calls it, only ever shown or offered as the name of a download.
    """

    path: Path
    name: str


@dataclass(slots=True, kw_only=True)
class Session:
    """One visitor: her folder, the wish to stop what is going on, and whether she left."""

    folder: Path
    uploads: Path
    limits: Limits
    stop: threading.Event = field(default_factory=threading.Event)
    used_s: float = field(default_factory=time.monotonic)
    ended: bool = False

    def new_folder(self) -> Path:
        """Return a new folder of hers. Raises Stopped where she left meanwhile."""
        folder = self.folder / secrets.token_hex(8)
        try:
            folder.mkdir()
        except FileNotFoundError as error:
            raise Stopped from error
        return folder

    def remove(self) -> None:
        """Delete her files; what is being written meanwhile may stay, see `ended`."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def take_in(self, uploads: Sequence[str]) -> list[Upload]:
        """Number uploaded files in a new folder of hers, which keeps them as long as she stays.

        Raises:
            InputError: more files than `Limits.files`, one that is too large or was not uploaded.
        """
        if len(uploads) > self.limits.files:
            raise InputError(words.too_many_files(len(uploads), self.limits.files))
        folder = self.new_folder()
        taken: list[Upload] = []
        for number, text in enumerate(uploads):
            upload = Path(text)
            if not upload.resolve().is_relative_to(self.uploads.resolve()):
                raise InputError(words.NOT_UPLOADED)
            if upload.stat().st_size > self.limits.file_bytes:
                raise InputError(words.too_large(upload.name, self.limits.file_bytes))
            suffix = upload.suffix.lower()
            known = suffix in images.SUFFIXES or suffix in CLIP_SUFFIXES
            path = folder / f"{number:04d}{suffix if known else ''}"
            _place(upload, path)
            taken.append(Upload(path=path, name=shown_name(upload.name)))
        return taken

    def lend(self, path: Path) -> str:
        """Return a copy in her folder of a file that she may see; the page shows no other files."""
        changed = path.stat()
        copy = self.folder / f"{changed.st_ino}-{changed.st_mtime_ns}" / path.name
        if not copy.exists():
            copy.parent.mkdir(exist_ok=True)
            _place(path, copy)
        return str(copy)


def _place(source: Path, path: Path) -> None:
    try:
        os.link(source, path)
    except OSError:
        shutil.copyfile(source, path)


class Sessions:
    """Who is here. Threads may share it."""

    def __init__(self, root: Path, limits: Limits) -> None:
        self._root, self._limits = root, limits
        self._of: dict[str, Session] = {}
        self._lock = threading.Lock()

    def of(self, key: str) -> Session:
        """Return the session of a visitor's key, a new one where there is none."""
        with self._lock:
            now_s = time.monotonic()
            oldest_s = now_s - self._limits.age_s
            for other in [each for each, one in self._of.items() if one.used_s < oldest_s]:
                _end(self._of.pop(other))
            if key not in self._of:
                folder = self._root / secrets.token_hex(16)
                folder.mkdir(parents=True, mode=0o700)
                self._of[key] = Session(
                    folder=folder, uploads=self._root / UPLOADS, limits=self._limits
                )
            self._of[key].used_s = now_s
            return self._of[key]

    def end(self, key: str) -> None:
        """Stop what a visitor who left had going on, and delete her files."""
        with self._lock:
            session = self._of.pop(key, None)
        if session is not None:
            _end(session)

    def end_all(self) -> None:
        """Do so for all visitors."""
        with self._lock:
            sessions = list(self._of.values())
            self._of.clear()
        for session in sessions:
            _end(session)


def _end(session: Session) -> None:
    session.ended = True
    session.stop.set()
    session.remove()


def shown_name(name: str) -> str:
    """Return a file's name without anything that a page, or a system, takes for a command."""
    stem, suffix = Path(name).stem, Path(name).suffix
    clean = re.sub(r"[^\w .()+-]", "_", stem).strip(" .")[:_NAME_CHARACTERS] or "photograph"
    return clean + re.sub(r"[^\w.]", "", suffix)[:10]
