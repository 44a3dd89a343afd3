"""Weights by name: the table of those that ship, and where their files are."""

import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import platformdirs

from blur2blur.errors import CheckpointError
from blur2blur.settings import nearest
from blur2blur.weights import hub, packing, verdict
from blur2blur.weights.headers import Header, read_header

WEIGHTS_DIR = Path(__file__).parent


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One row of the table of shipped weights."""

    role: str
    file: str
    sha256: str
    licence: str
    trained_on: str
    recipe: str
    result: str


ENTRIES: dict[str, Entry] = {
    "known-blur": Entry(
        role="deblurrer",
        file="known-blur.safetensors",
        sha256="2198f87c477ebfa40ee36e4c303b1a65e41c6683c0a525de595150bddbe79337",
        licence="Apache-2.0",
        trained_on="311 photographs under CC0, Unsplash, Pexels, MIT and CC BY licences",
        recipe="blur2blur train deblurrer --data PHOTOS --preset known-blur -o RUN",
        result="20 real pairs of REDS: 22.78 to 24.28 dB; sharp photographs stay (47.8 dB)",
    ),
    "generic": Entry(
        role="converter",
        file="generic.safetensors",
        sha256="4fe5785b735558039bfe0fa963676d9eb2d8adadfd1c6b0e6800a0a7af0fd0b6",
        licence="Apache-2.0",
        trained_on="311 photographs under CC0, Unsplash, Pexels, MIT and CC BY licences",
        recipe="blur2blur train converter --data PHOTOS --preset generic -o RUN",
        result="Kodak at half size, five noisy cameras: 0.05 to 0.26 dB over known-blur alone",
    ),
    "blur-extent": Entry(
        role="extent",
        file="blur-extent.safetensors",
        sha256="7c9a98207f5bda74acca35f38d9007e88971af04e07963999686f12c0b062cd6",
        licence="Apache-2.0",
        trained_on="335 photographs under CC0, Unsplash, Pexels, MIT and CC BY licences",
        recipe="blur2blur train extent --data PHOTOS --preset blur-extent -o RUN",
        result="held-out simulated crops: mean error 0.69 octaves, median 1.8 px",
    ),
    "kernel": Entry(
        role="kernel",
        file="kernel.safetensors",
        sha256="0a96019dd4b93667009823eadfc7a0f372cae54bb4604fa177bc34989fe0613f",
        licence="Apache-2.0",
        trained_on="105 photographs under CC0, Unsplash, Pexels and CC BY licences",
        recipe="blur2blur train kernel --data PHOTOS --preset kernel --set known...",
        result="Kodak, uniform shake: 44.8 to 46.5 dB, where a Gaussian fit has 33.4 (3 seeds)",
    ),
}

DEFAULT_BLUR_EXTENT = "blur-extent"
DEFAULT_DEBLURRER = "known-blur"

DEFAULT = "default"
"""In place of a deblurrer: the one that belongs to the converter."""
NONE = "none"
"""In place of a converter: none."""


def pair(deblurrer: object, converter: object) -> tuple[Any, Any]:
    """Return the deblurrer and the converter, or None, that are meant.

    A converter's deblurrer is the one that it was trained through. A run folder whose own converter
    did not help where it began from none means none.

    Raises:
        CheckpointError: a damaged verdict, a deblurrer that is not there any more, or as
            `hub.obtain`.
        ConfigError: a name on the hub without the extra `hub`.
    """
    converter = None if isinstance(converter, str) and converter == NONE else converter
    named = isinstance(deblurrer, str) and deblurrer == DEFAULT
    if not isinstance(converter, str | Path):
        return (DEFAULT_DEBLURRER if named else deblurrer), converter
    run = _run_folder(str(converter), role="converter")
    lost = run is not None and verdict.winner(run) == NONE
    if named:
        # of a run whose own converter lost, too, the one that it was compared through
        last = Path(run or converter) / verdict.LAST
        deblurrer = _trained_through(str(last if last.is_file() else converter))
    return deblurrer, None if lost else converter


def _trained_through(converter: str) -> str:
    try:
        named = read_header(resolve(converter, role="converter")).settings.get("deblurrer")
    except CheckpointError:  # it is not of ours, or not there, which is told where it is loaded
        return DEFAULT_DEBLURRER
    if not isinstance(named, str) or not named:
        return DEFAULT_DEBLURRER
    if named in ENTRIES or named in hub.PUBLISHED:
        return named
    # what strangers pack names no file of this machine
    strangers = converter.startswith(hub.PREFIX) or converter.endswith(packing.SUFFIX)
    if not strangers and (named.startswith(hub.PREFIX) or Path(named).is_file()):
        return named
    raise CheckpointError(
        f"{converter} was trained through the deblurrer {named}, which is not here; give its file "
        f"with --deblurrer, or {DEFAULT_DEBLURRER}"
    )


RUN = "run"
"""Folder of a camera that holds the training of its converter."""

_CAMERA_NAME = re.compile(r"\w[\w -]{0,39}")


def cameras_folder() -> Path:
    """Return where cameras are kept by name: BLUR2BLUR_CAMERAS, or the system's place for data."""
    if named := os.environ.get("BLUR2BLUR_CAMERAS"):
        return Path(named)
    return platformdirs.user_data_path("blur2blur") / "cameras"


def camera_folder(name: str) -> Path | None:
    """Return the folder of a camera, there or not; None for what cannot be a camera's name."""
    usable = _CAMERA_NAME.fullmatch(name) and name == name.strip() and name not in ENTRIES
    return cameras_folder() / name if usable else None


def resolve(name_or_path: str, *, role: str) -> Path:
    """Return the weight file of a name, hash checked; the path itself, or what is packed in it.

    Names are those that ship, those of `hub.PUBLISHED`, and "hf:owner/name".

    Of a run folder, or of a camera's name, it is the better of the weights there.

    Raises:
        CheckpointError: neither a name of that role nor a file, a damaged shipped file, or as
            `hub.obtain` and `packing.unpack`.
        ConfigError: a name on the hub without the extra `hub`.
    """
    if hub.is_meant(name_or_path, role=role):
        return hub.obtain(name_or_path, role=role)
    entry = ENTRIES.get(name_or_path)
    if entry is None or entry.role != role:
        path = Path(name_or_path)
        if run := _run_folder(name_or_path, role=role):
            return resolve(verdict.winner(run), role=role)
        if path.is_file():
            if not os.access(path, os.R_OK):
                raise CheckpointError(f"{path} cannot be read: permission denied")
            is_packed = path.suffix == packing.SUFFIX
            return packing.weights_of(path, role=role) if is_packed else path
        rows = {**ENTRIES, **hub.PUBLISHED}
        names = [name for name, row in rows.items() if row.role == role]
        hint = nearest(name_or_path, names) if names else ""
        kind = "kernel extractor" if role == "kernel" else role
        raise CheckpointError(f"no {kind} '{name_or_path}': neither a file nor a known name{hint}")
    path = WEIGHTS_DIR / entry.file
    if not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != entry.sha256:
        raise CheckpointError(
            f"the shipped weights {path} are missing or damaged; reinstall blur2blur"
        )
    return path


def _run_folder(name_or_path: str, *, role: str) -> Path | None:
    """Return the run folder that a folder's path, or a converter's camera, means."""
    if name_or_path in ENTRIES:
        return None
    path = Path(name_or_path)
    camera = camera_folder(name_or_path) if role == "converter" else None
    if camera is not None and not path.exists() and (camera / RUN).is_dir():
        path = camera / RUN
    return path if path.is_dir() else None


def known_blur(header: Header) -> str | None:
    """Return the known blur that weights of ours were trained for.

    A camera's name, "pairs", or the extractor's file where the blur was transferred; None where
    they do not tell, or undo the blur of many cameras.
    """
    known = header.settings.get("known")
    if header.settings.get("converter") == NONE:
        return None
    if not isinstance(known, dict):
        return None
    source = known.get("source", "")
    return known.get({"synthetic": "camera", "transfer": "extractor"}.get(source, "source"))
