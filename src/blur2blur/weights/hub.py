"""Weights on the Hugging Face hub: fetched when first used, into the hub's own cache, and checked.

Addresses, tokens, proxies and the cache are those of huggingface_hub (extra `hub`): HF_HOME,
HF_TOKEN, HF_ENDPOINT and HF_HUB_OFFLINE mean here what they mean to it.
"""

import http
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from blur2blur import extras
from blur2blur.cache import sha256
from blur2blur.errors import CheckpointError

PREFIX = "hf:"
"""Before a repository's name, where one stands in place of a weight file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """One row of the table: a file of others at one revision of a repository, and nothing newer.

    `known_camera` is the simulated camera whose blur is most like what it was trained to undo: what
    a converter for it makes.
    """

    role: str
    repository: str
    revision: str
    file: str
    size_bytes: int
    sha256: str
    licence: str
    source: str
    trained_on: str
    known_camera: str

    @property
    def address(self) -> str:
        """Where a browser finds the file."""
        return f"https://huggingface.co/{self.repository}/blob/{self.revision}/{self.file}"


def _nafnet(
    file: str, size_bytes: int, digest: str, *, trained_on: str, known_camera: str
) -> Published:
    return Published(
        role="deblurrer",
        repository="nyanko7/nafnet-models",
        revision="08e8c701eb662688cccda3bf3074e90e902bcd3b",
        file=file,
        size_bytes=size_bytes,
        sha256=digest,
        licence="MIT",
        source="https://github.com/megvii-research/NAFNet",
        trained_on=trained_on,
        known_camera=known_camera,
    )


PUBLISHED: dict[str, Published] = {
    "nafnet-gopro-32": _nafnet(
        "NAFNet-GoPro-width32.pth",
        68_671_121,
        "19394e6155d12ef6371d1d57496f87f0ec88f92bdffa27c0792690722d5d1a5c",
        trained_on="GOPRO_Large",
        known_camera="gopro",
    ),
    "nafnet-gopro-64": _nafnet(
        "NAFNet-GoPro-width64.pth",
        271_778_961,
        "329d3ab4077b8d6b7ff61de376e483714667960bf85be027bf4335cda701196f",
        trained_on="GOPRO_Large",
        known_camera="gopro",
    ),
    "nafnet-reds-64": _nafnet(
        "NAFNet-REDS-width64.pth",
        271_756_689,
        "175fe8b3cdf3abedfbc87769779c3d9f491e05bb2e73ea9d627883f90a4b2df3",
        trained_on="REDS, frames of compressed video",
        known_camera="reds",
    ),
}


def is_meant(name: str, *, role: str) -> bool:
    """Tell whether a name stands for weights on the hub."""
    row = PUBLISHED.get(name)
    return name.startswith(PREFIX) or (row is not None and row.role == role)


def obtain(name: str, *, role: str) -> Path:
    """Return the file of a row of the table, or of "hf:owner/name" or "hf:owner/name@revision".

    Such a repository holds ROLE.safetensors, as `blur2blur models push` writes it.

    Raises:
        ConfigError: huggingface_hub is not installed.
        CheckpointError: as `fetch`; what arrived or lies in the cache is not what the table says,
            and was removed.
    """
    row = PUBLISHED.get(name)
    if row is None:
        repository, _, revision = name.removeprefix(PREFIX).partition("@")
        return fetch(repository, f"{role}.safetensors", revision or None)
    path = fetch(row.repository, row.file, row.revision)
    found = sha256(path)
    if found != row.sha256:
        size_bytes = path.stat().st_size
        path.resolve().unlink()
        path.unlink(missing_ok=True)
        raise CheckpointError(
            f"{name} was not what it must be and was removed: {size_bytes:,} bytes of SHA-256 "
            f"{found}, not {row.size_bytes:,} of {row.sha256}; run the same command again, and if "
            f"it fails again, do not trust {row.address}"
        )
    return path


def kept(name: str) -> bool:
    """Tell whether the file of a row is in the cache; False without huggingface_hub."""
    try:
        from huggingface_hub import try_to_load_from_cache
    except ImportError:
        return False
    row = PUBLISHED[name]
    found = try_to_load_from_cache(row.repository, row.file, revision=row.revision)
    return isinstance(found, str)


def fetch(repository: str, file: str, revision: str | None) -> Path:
    """Return a file of a repository, from the cache or the hub; of any revision the newest.

    Raises:
        ConfigError: huggingface_hub is not installed.
        CheckpointError: no such repository, revision or file, no right to read it, no hub that
            answers and nothing in the cache, or a download that broke off.
    """
    hub = extras.load("huggingface_hub", purpose=f"{repository} on the hub")
    log = logging.getLogger(hub.__name__)  # tells of every attempt, on two lines each
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        return Path(hub.hf_hub_download(repository, file, revision=revision))
    except Exception as error:  # noqa: BLE001  (its HTTP library's errors have no common base)
        explain(error, repository, file)
    finally:
        log.setLevel(level)


def explain(error: Exception, repository: str, file: str) -> NoReturn:
    """Raise a CheckpointError for what huggingface_hub raised; what it does not raise goes on."""
    from huggingface_hub import errors

    page = f"https://huggingface.co/{repository}"
    login = "log in with 'hf auth login'"
    closed = f"it is not there, or not open to you; look at {page}, or {login}"
    if getattr(getattr(error, "response", None), "status_code", 0) == http.HTTPStatus.UNAUTHORIZED:
        raise CheckpointError(f"{repository} on the hub: {closed}") from error
    # the first that fits; some are kinds of others
    reasons: list[tuple[type[Exception], str]] = [
        (errors.HFValidationError, "that is no name of a repository; write owner/name"),
        (
            errors.GatedRepoError,
            f"its licence must be accepted first: do so at {page}, and {login}",
        ),
        (errors.RepositoryNotFoundError, closed),
        (errors.RevisionNotFoundError, "there is no such revision of it"),
        (
            errors.LocalEntryNotFoundError,
            f"it is not in the cache, and the hub cannot be reached ("
            f"{_first_line(error.__cause__ or error)}); connect once, or unset HF_HUB_OFFLINE",
        ),
        (errors.EntryNotFoundError, f"it holds no {file}"),
    ]
    for kind, reason in reasons:
        if isinstance(error, kind):
            raise CheckpointError(f"{repository} on the hub: {reason}") from error
    raise CheckpointError(
        f"{repository} on the hub: {file} did not arrive or leave ({_first_line(error)}); run the "
        "same command again"
    ) from error


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
