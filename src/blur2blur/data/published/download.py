"""Large files over HTTP: resumed where they stopped, and checked by size and SHA-256.

A file that is under way is called NAME.part; NAME.part.json beside it tells of which version of the
file its bytes are. NAME.sha256 keeps the hash of a whole file. The standard library is enough for
that, and knows the proxies of the system.
"""

import hashlib
import http.client
import json
import re
import shutil
import ssl
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, NoReturn

from blur2blur.data.published import archives
from blur2blur.data.published.table import Archive
from blur2blur.errors import InputError
from blur2blur.files import explained_writing, write_text

ATTEMPTS = 5
"""So many attempts in a row may bring nothing before a download gives up."""

PAUSE_SECONDS = 2.0
"""Before the second attempt; each further pause is twice as long."""

_TIMEOUT_SECONDS = 60.0
_BLOCK_BYTES = 1 << 20
_TRY_AGAIN = {408, 425, 429, 500, 502, 503, 504}
_RANGE_NOT_SATISFIABLE = 416


@dataclass(frozen=True, slots=True)
class Progress:
    """What a download tells: `done` and `total` bytes of what is done."""

    name: str
    done: int
    total: int


@dataclass(frozen=True, slots=True)
class _Version:
    """Which file a server sends: its size, its strong ETag or "", the hash stated for it or ""."""

    size: int
    etag: str
    sha256: str


class _Interrupted(Exception):
    """The connection failed; what has arrived is kept, and another attempt may succeed."""


class _Redirect(urllib.request.HTTPRedirectHandler):
    """Follows redirections, never from https to http, and keeps the hash that one may state."""

    def __init__(self) -> None:
        self.sha256 = ""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        if req.full_url.startswith("https:") and not newurl.startswith("https:"):
            raise InputError(f"{req.full_url} leads to {newurl}, which is not encrypted; refused")
        stated = str(headers.get("X-Linked-ETag", "")).strip('"').lower()
        if re.fullmatch(r"[0-9a-f]{64}", stated):
            self.sha256 = stated
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def file_name(address: str) -> str:
    """Return the name under which an address is stored."""
    return Path(urllib.parse.urlsplit(address).path).name


def obtain(archive: Archive, folder: Path, tell: Callable[[Progress], object]) -> bool:
    """Download an archive and unpack it below `folder`; False where that was done before.

    Raises:
        InputError: see `fetch`, `is_kept` and `archives.unpack`.
    """
    target = folder / archive.folder
    paths = [folder / file_name(address) for address in archive.addresses]
    if target.is_dir():  # before archives of tens of gigabytes are hashed
        return False
    kept = [is_kept(path, tell) for path in paths]
    for address, there in zip(archive.addresses, kept, strict=True):
        if not there:
            fetch(address, folder, tell)
    total = archives.unpacked_bytes(paths)
    done = 0

    def advance(block_bytes: int) -> None:
        nonlocal done
        done += block_bytes
        tell(Progress(f"unpacking {archive.folder}", done, total))

    archives.unpack(paths, target, advance)
    return True


def is_kept(path: Path, tell: Callable[[Progress], object]) -> bool:
    """Return whether a file has been downloaded before, and is still what it was.

    Raises:
        InputError: it has changed since.
    """
    record = _beside(path, ".sha256")
    if not path.is_file() or not record.is_file():
        return False
    expected = record.read_text(encoding="utf-8").split()[:1]
    if [_sha256(path, path.name, tell)] != expected:
        raise InputError(
            f"{path} has changed since it was downloaded (its SHA-256 is not that in "
            f"{record.name}); remove both to download it again"
        )
    return True


def fetch(address: str, folder: Path, tell: Callable[[Progress], object]) -> Path:
    """Download a file into a folder, or go on where an earlier download of it stopped.

    The size must be what the server says. The hash must be the one that the server states, where
    it states one with a redirection (header X-Linked-ETag), and is recorded for `is_kept`.

    Raises:
        InputError: the server refuses, cannot be reached, does not state a size, or breaks off
            again and again; the size or the hash is wrong; the file cannot be written.
    """
    path = folder / file_name(address)
    if path.exists():
        raise InputError(f"{path} is there, but no download of ours; move it away")
    part, note = _beside(path, ".part"), _beside(path, ".part.json")
    with explained_writing(path):
        folder.mkdir(parents=True, exist_ok=True)
        stated = _persist(address, part, note, tell)
    found = _sha256(part, path.name, tell)
    if stated and stated != found:
        part.unlink()
        note.unlink()
        raise InputError(
            f"{address} arrived damaged and was removed: its SHA-256 is {found}, the server states "
            f"{stated}; run the same command again"
        )
    write_text(_beside(path, ".sha256"), f"{found}  {path.name}\n")
    with explained_writing(path):
        part.replace(path)
        note.unlink()
    return path


def _persist(address: str, part: Path, note: Path, tell: Callable[[Progress], object]) -> str:
    """Try again until the file is whole, or attempts bring nothing; return the stated hash."""
    fruitless = 0
    while True:
        before = _size(part)
        try:
            return _attempt(address, part, note, tell)
        except _Interrupted as error:
            fruitless = 1 if _size(part) > before else fruitless + 1
            if fruitless >= ATTEMPTS:
                raise InputError(
                    f"the download of {address} stopped after {_size(part)} bytes: {error}; run "
                    "the same command again to go on from there"
                ) from error
            time.sleep(PAUSE_SECONDS * 2 ** (fruitless - 1))


def _attempt(address: str, part: Path, note: Path, tell: Callable[[Progress], object]) -> str:
    """Read from the server until the file is whole; return the hash that it states, or ""."""
    version = _noted(note)
    start = _size(part) if version else 0
    if version and start == version.size:
        return version.sha256
    redirect = _Redirect()
    headers = {"Range": f"bytes={start}-"} if start else {}
    request = urllib.request.Request(address, headers={"User-Agent": "blur2blur", **headers})
    try:
        response = urllib.request.build_opener(redirect).open(request, timeout=_TIMEOUT_SECONDS)
    except urllib.error.HTTPError as error:
        with error:
            _give_up_or_go_on(address, error, part)
    except (OSError, http.client.HTTPException) as error:
        raise _unreachable(address, error) from error
    with response:
        current = _version(address, response, start, redirect.sha256)
        if response.status != http.client.PARTIAL_CONTENT:
            start = 0
        elif version and not _same(version, current):
            part.unlink()
            raise _Interrupted("the file on the server is another one now")
        _refuse_too_large(current.size - start, part)
        write_text(note, json.dumps(asdict(current)))
        _receive(response, part, start, Progress(part.stem, start, current.size), tell)
    return redirect.sha256


def _receive(
    response: http.client.HTTPResponse,
    part: Path,
    start: int,
    progress: Progress,
    tell: Callable[[Progress], object],
) -> None:
    """Append to the file until it has its size; raise _Interrupted where less arrives."""
    with part.open("r+b" if start else "wb") as sink:
        sink.seek(start)
        sink.truncate()
        done = start
        while done < progress.total:
            try:
                block = response.read(min(_BLOCK_BYTES, progress.total - done))
            except (OSError, http.client.HTTPException) as error:
                raise _Interrupted(f"the connection broke ({error})") from error
            if not block:
                raise _Interrupted("the connection ended early")
            sink.write(block)
            done += len(block)
            tell(Progress(progress.name, done, progress.total))


def _version(address: str, response: http.client.HTTPResponse, start: int, sha256: str) -> _Version:
    """Return which file is being sent, from `start` where only a part is.

    Raises:
        InputError: its size is not stated, or another part is sent than was asked for.
    """
    stated = response.headers.get("Content-Length", "")
    if response.status == http.client.PARTIAL_CONTENT:
        sent = response.headers.get("Content-Range", "")
        match = re.fullmatch(r"bytes (\d+)-\d+/(\d+)", sent)
        if match is None or int(match[1]) != start:
            raise InputError(
                f"{address}: asked for all from byte {start}, the server sends '{sent}'"
            )
        stated = match[2]
    if not stated.isdigit():
        raise InputError(f"{address}: the server does not state a size, so that nothing is checked")
    size = int(stated)
    etag = response.headers.get("ETag", "")
    return _Version(size=size, etag=etag if etag.startswith('"') else "", sha256=sha256)


def _same(one: _Version, other: _Version) -> bool:
    """Return whether two answers are of one file, as far as they tell."""
    if one.sha256 and other.sha256:  # servers of one file may have an ETag each
        return one.sha256 == other.sha256
    if one.etag and other.etag:
        return (one.size, one.etag) == (other.size, other.etag)
    return one.size == other.size


def _give_up_or_go_on(address: str, error: urllib.error.HTTPError, part: Path) -> NoReturn:
    """Raise _Interrupted where another attempt may succeed, else InputError."""
    if error.code == _RANGE_NOT_SATISFIABLE:
        part.unlink(missing_ok=True)
        raise _Interrupted("the file on the server is another one now") from error
    if error.code in _TRY_AGAIN:
        raise _Interrupted(f"the server answers {error.code} {error.reason}") from error
    raise InputError(f"{address}: the server answers {error.code} {error.reason}") from error


def _unreachable(address: str, error: Exception) -> Exception:
    reason = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(reason, ssl.SSLCertVerificationError):
        return InputError(f"{address}: the server's certificate is not trusted: {reason}")
    return _Interrupted(f"the server cannot be reached ({reason})")


def _refuse_too_large(size_bytes: int, part: Path) -> None:
    free_bytes = shutil.disk_usage(part.parent).free
    if size_bytes > free_bytes:
        raise InputError(
            f"{part.stem} needs {size_bytes / 1e9:.1f} GB, and {free_bytes / 1e9:.1f} GB are free; "
            "free some space and run the same command again"
        )


def _noted(note: Path) -> _Version | None:
    try:
        return _Version(**json.loads(note.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError, RecursionError):
        return None


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


def _sha256(path: Path, name: str, tell: Callable[[Progress], object]) -> str:
    hasher, total, done = hashlib.sha256(), _size(path), 0
    with path.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            hasher.update(block)
            done += len(block)
            tell(Progress(f"checking {name}", done, total))
    return hasher.hexdigest()
