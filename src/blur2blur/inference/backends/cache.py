"""Converted networks, kept in the user's cache: whole or not at all, made again when damaged."""

import hashlib
import json
import logging
import shutil
import tempfile
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

import torch

from blur2blur.files import cache_folder
from blur2blur.inference.chain import Chain
from blur2blur.networks import ImageNetwork

_KEPT = 16
"""Conversions that are kept; of more, those used longest ago are deleted."""

_SUMS = "sha256.json"

_log = logging.getLogger(__name__)


@contextmanager
def model_file(
    chain: Chain, name: str, write: Callable[[Path], None], *, runtime: str
) -> Generator[Path]:
    """Yield the file of that name that `write` made of the chain, now or at an earlier time.

    A chain with networks that are not of this project, which weights and options do not tell whole,
    is converted every time; so is any where the cache cannot be written.

    Args:
        chain: what to convert.
        name: the file's name; `write` may put others beside it.
        write: makes it.
        runtime: version of what will run it.

    Raises:
        CheckpointError: as `write` does.
    """
    kept = _folder(chain, name, runtime)
    if kept is not None and _is_whole(kept):
        (kept / _SUMS).touch()
        yield kept / name
        return
    place = kept.parent if kept is not None and _can_write(kept.parent) else None
    # beside its final place, so that one renaming puts it there
    temporary = Path(tempfile.mkdtemp(prefix="making-", dir=place))
    try:
        _log.info("converting the networks for %s; next time this is read from the cache", name)
        write(temporary / name)
        if kept is None or place is None:
            yield temporary / name
            return
        _seal(temporary)
        yield _put(temporary, kept) / name
        _forget(place)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _folder(chain: Chain, name: str, runtime: str) -> Path | None:
    """Return where the conversion of this chain lies; None for a chain that has no key."""
    described: list[object] = [name, runtime, version("blur2blur"), torch.__version__]
    for network in chain.networks:
        if not isinstance(network, ImageNetwork):
            return None
        described.append([network.name, network.options.model_dump(mode="json")])
    digest = hashlib.sha256(json.dumps(described).encode())
    for key, tensor in chain.state_dict().items():
        digest.update(f"{key} {tuple(tensor.shape)} {tensor.dtype} ".encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().data)
    return cache_folder() / "converted" / digest.hexdigest()[:32]


def _can_write(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        _log.warning("cannot keep converted networks in %s: %s", folder, error.strerror or error)
        return False
    return True


def _seal(folder: Path) -> None:
    """Note the hash of every file, so that damage is found before a runtime reads it."""
    sums = {file.name: _sha256(file) for file in sorted(folder.iterdir())}
    (folder / _SUMS).write_text(json.dumps(sums))


def _is_whole(folder: Path) -> bool:
    try:
        sums: dict[str, str] = json.loads((folder / _SUMS).read_text())
        return all(_sha256(folder / name) == sum_ for name, sum_ in sums.items())
    except (OSError, ValueError, AttributeError):
        return False


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _put(temporary: Path, kept: Path) -> Path:
    """Rename a finished conversion to its place; where another process was first, use that one."""
    for _ in range(2):
        try:
            return temporary.rename(kept)
        except OSError:
            if _is_whole(kept):
                return kept
            # what is there is damaged; renamed before it is deleted, so that nobody reads half
            damaged = kept.with_name(f"damaged-{time.time_ns()}")
            try:
                kept.rename(damaged)
            except OSError:
                continue
            shutil.rmtree(damaged, ignore_errors=True)
    return temporary


def _forget(folder: Path) -> None:
    kept = [path for path in folder.glob("*/" + _SUMS) if len(path.parent.name) == 32]
    dated: list[tuple[float, Path]] = []
    for path in kept:
        try:
            dated.append((path.stat().st_mtime, path.parent))
        except OSError:
            continue
    for _, path in sorted(dated, reverse=True)[_KEPT:]:
        shutil.rmtree(path, ignore_errors=True)
