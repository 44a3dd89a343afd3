"""A trained camera as one file to share: a zip of weights, card, sample sheet and what they are.

Whatever is read comes from strangers: names, sizes and hashes are checked, nothing else is looked
at, and weights are numbers only.
"""

import hashlib
import json
import shutil
import tempfile
import zipfile
import zlib
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from blur2blur import extras, settings
from blur2blur.cache import cache_folder, cached_file, sha256
from blur2blur.errors import CheckpointError, ConfigError
from blur2blur.files import atomic_path
from blur2blur.settings import Settings
from blur2blur.weights import hub, verdict
from blur2blur.weights.headers import Header, read_header

SUFFIX = ".b2b"
TOLD, CARD, SAMPLE = "camera.json", "README.md", "sample.png"

_LARGEST_BYTES = {TOLD: 1_000_000, CARD: 1_000_000, SAMPLE: 100_000_000}
_LARGEST_WEIGHTS_BYTES = 2_000_000_000


class Packed(Settings):
    """What a packed camera says of itself, in `camera.json`; `header` is its weights'."""

    format: Literal[1] = 1
    role: Literal["converter", "deblurrer", "kernel", "extent"]
    licence: str
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    header: Header

    @property
    def weights(self) -> str:
        """The weights' name in the file, and in a repository of the hub."""
        return f"{self.role}.safetensors"


def pack(source: Path, out: Path, *, licence: str, sample: bool) -> Packed:
    """Write a run folder's best weights, or a weight file, as a file to share.

    Args:
        source: the folder or the file.
        out: the file to be written, *.b2b.
        licence: a name of the hub's, such as "cc-by-4.0"; "unknown" gives nobody any right.
        sample: whether the run's last sample sheet goes with them: photographs of its user.

    Raises:
        ConfigError: an unfit `out`.
        CheckpointError: no weights of ours, of a role that is not shared, or of a run whose own
            were not better.
        InputError: `out` cannot be written.
    """
    if out.suffix != SUFFIX or out.exists():
        raise ConfigError(f"{out}: choose a name that is not there yet and ends in {SUFFIX}")
    weights = _better_of(source) if source.is_dir() else source
    header = read_header(weights)
    told = {"licence": licence, "role": header.role, "sha256": sha256(weights)}
    packed = _build({**told, "header": header.model_dump(mode="json")}, weights)
    sheets = sorted((weights.parent / "samples").glob("*.png")) if sample else []
    with atomic_path(out) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        archive.writestr(TOLD, packed.model_dump_json(indent=1))
        archive.writestr(CARD, card(packed, out.name, with_sample=bool(sheets)))
        archive.write(weights, packed.weights)
        if sheets:
            archive.write(sheets[-1], SAMPLE)
    return packed


def _better_of(run: Path) -> Path:
    told = verdict.read(run)
    if told is not None and not told.helped:
        raise CheckpointError(
            f"{run}: its own weights were not better than {told.shipped}; to share them all the "
            f"same give the file, {run / verdict.LAST}"
        )
    return Path(verdict.winner(run))


def _build(told: object, source: Path) -> Packed:
    if not isinstance(told, dict):
        raise CheckpointError(f"{source} is damaged: {TOLD} is no table")
    try:
        return settings.build(Packed, told, source=TOLD)
    except ConfigError as error:
        raise CheckpointError(
            f"{source} is no camera that this blur2blur shares: {error}"
        ) from error


def unpack(path: Path, folder: Path) -> Packed:
    """Unpack all of a packed camera into a folder.

    Raises:
        CheckpointError: a damaged file, one with other parts than `pack` writes, too large ones,
            or weights that are not those that it tells of.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = {member.filename: member for member in archive.infolist()}
            if TOLD not in members or members[TOLD].file_size > _LARGEST_BYTES[TOLD]:
                raise CheckpointError(f"{path} is no packed camera: it lacks a {TOLD} of fit size")
            packed = _build(json.loads(archive.read(TOLD)), path)
            largest = {**_LARGEST_BYTES, packed.weights: _LARGEST_WEIGHTS_BYTES}
            if len(members) < len(archive.infolist()) or packed.weights not in members:
                raise CheckpointError(f"{path}: parts are missing or there twice; get it again")
            for name, member in members.items():
                if member.file_size > largest.get(name, -1):
                    raise CheckpointError(
                        f"{path}: '{name}' is no part of a packed camera, or too large; do not "
                        "trust it"
                    )
                with archive.open(member) as part, (folder / name).open("wb") as file:
                    shutil.copyfileobj(part, file)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, ValueError) as error:
        raise CheckpointError(f"{path} is damaged ({error}); get it again") from error
    except RuntimeError as error:  # what zipfile raises where a password is asked for
        raise CheckpointError(f"{path} is encrypted; get one that is not") from error
    if sha256(folder / packed.weights) != packed.sha256:
        raise CheckpointError(f"{path}: its weights are not those that it tells of; get it again")
    return packed


def weights_of(path: Path, *, role: str) -> Path:
    """Return the weights of a packed camera as a file of the cache; raises as `unpack`."""
    made: list[Packed] = []

    def make(file: Path) -> None:
        with tempfile.TemporaryDirectory() as folder:
            made.append(unpack(path, Path(folder)))
            if made[0].role != role:
                raise CheckpointError(f"{path} is a {made[0].role}, not a {role}")
            shutil.copy(Path(folder, made[0].weights), file)

    digest = hashlib.sha256(f"{sha256(path)} {role}".encode()).hexdigest()
    with cached_file("cameras", digest, f"{role}.safetensors", make) as file:
        pass
    if not file.is_file():
        raise CheckpointError(
            f"{path} has to be unpacked, and {cache_folder()} cannot be written; set "
            "BLUR2BLUR_CACHE to a folder that can"
        )
    return file


def push(path: Path, repository: str, *, private: bool) -> Packed:
    """Put a packed camera into a repository of the hub, which is made where there is none.

    Raises:
        ConfigError: huggingface_hub is not installed.
        CheckpointError: as `unpack`; no right to write, or a hub that cannot be reached.
    """
    client = extras.load("huggingface_hub", purpose="sharing on the hub").HfApi()
    with tempfile.TemporaryDirectory() as folder:
        packed = unpack(path, Path(folder))
        has_sample = Path(folder, SAMPLE).is_file()
        text = card(packed, f"{hub.PREFIX}{repository}", with_sample=has_sample)
        Path(folder, CARD).write_text(text, encoding="utf-8")
        try:
            client.create_repo(repository, private=private, exist_ok=True)
            client.upload_folder(repo_id=repository, folder_path=folder)
        except Exception as error:  # noqa: BLE001  (as in `hub.fetch`)
            hub.explain(error, repository, path.name)
    return packed


def card(packed: Packed, name: str, *, with_sample: bool) -> str:
    """Return the model card, Markdown with the hub's metadata; `name` is what one loads."""
    header = packed.header
    metrics = "".join(f"| {key} | {value:.4g} |\n" for key, value in header.metrics.items())
    deblurrer = Path(str(header.settings.get("deblurrer") or "")).name
    beside = f" --deblurrer {deblurrer}" if packed.role == "converter" and deblurrer else ""
    return f"""---
license: {json.dumps(packed.licence)}
library_name: blur2blur
pipeline_tag: image-to-image
tags: [deblurring, image-restoration, blur2blur]
---

# A {packed.role} of blur2blur

`{header.network}`, trained in {header.step} steps by blur2blur {header.version}.

```bash
blur2blur deblur PHOTO -o DIR --{packed.role} {name}{beside}
```
{f"{chr(10)}![sample sheet]({SAMPLE}){chr(10)}" if with_sample else ""}
| Validation | |
|---|---|
{metrics}
All settings of the training are in the weights' header. SHA-256 of `{packed.weights}`:
`{packed.sha256}`.
"""
