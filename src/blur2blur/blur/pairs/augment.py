"""New blurry/sharp pairs from sharp photographs: the blur of other pairs, or blurs that nobody had.

The data augmentation of Tran et al., CVPR 2021, arXiv 2104.00317, section 4.4.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from blur2blur import tensors
from blur2blur.blur.pairs import plans
from blur2blur.blur.pairs.plans import Planned
from blur2blur.blur.transfer import draw_code, lay_blur, read_code
from blur2blur.errors import InputError
from blur2blur.networks import KernelWizard

FOLDERS = ("blurry", "sharp")
RECORD = "transfer.json"


def plan(
    sharp_dir: Path,
    out_dir: Path,
    *,
    blur: str,
    weights: Path,
    pairs: Sequence[tuple[Path, Path]] = (),
    seed: int,
    count: int | None,
) -> list[Planned]:
    """Check the folders and return the pairs to make; see `plans.plan`, and for what it raises.

    Args:
        sharp_dir: the photographs to blur.
        out_dir: receives `FOLDERS` and `RECORD`.
        blur: where the blur comes from, for the record.
        weights: file of the kernel extractor: with another one nothing is resumed.
        pairs: (blurry, sharp) that the blur is taken from: likewise.
        seed: of all randomness.
        count: pairs in all; None for one of each photograph.
    """
    names = "\0".join(str(path) for pair in pairs for path in pair)
    return plans.plan(
        sharp_dir,
        out_dir,
        folders=FOLDERS,
        record_name=RECORD,
        record={
            "blur": blur,
            "weights_sha256": hashlib.sha256(weights.read_bytes()).hexdigest(),
            "pairs_sha256": hashlib.sha256(names.encode(errors="surrogateescape")).hexdigest(),
        },
        seed=seed,
        count=count,
    )


def is_made(pair: Planned, out_dir: Path) -> bool:
    """Return whether both files of the pair are there; each was written whole."""
    return all(path.exists() for path in _files(pair, out_dir))


def code_of_a_pair(
    planned: Planned, pairs: Sequence[tuple[Path, Path]], network: KernelWizard
) -> Tensor:
    """Return the code, C h w, of one of `pairs` (blurry, sharp), chosen by the seed.

    With a VAE it is drawn around the pair's.

    Raises:
        InputError: a pair that cannot be read, of two sizes, or too small for the network.
    """
    rng = torch.Generator().manual_seed(planned.seed)
    chosen = int(torch.randint(len(pairs), (), generator=rng))
    blurry, sharp = pairs[chosen]
    try:
        code = read_code(tensors.read_rgb(sharp), tensors.read_rgb(blurry), network)
    except InputError as error:
        raise InputError(f"the pair {blurry}, {sharp}: {error}") from error
    return draw_code(code.mean, code.deviation, rng)


def make(planned: Planned, sharp: Tensor, code: Tensor, network: KernelWizard, out: Path) -> None:
    """Write the photograph with the blur of `code`, and the photograph itself, beside each other.

    Args:
        planned: which pair.
        sharp: 3 H W, sRGB in [0, 1].
        code: C h w.
        network: lays it over the photograph.
        out: as given to `plan`.

    Raises:
        InputError: the disk cannot be written.
    """
    blurry_path, sharp_path = _files(planned, out)
    tensors.write_rgb(sharp_path, sharp)
    tensors.write_rgb(blurry_path, lay_blur(sharp, code, network))


def _files(planned: Planned, out: Path) -> tuple[Path, Path]:
    blurry, sharp = (out / folder / f"{planned.name}.png" for folder in FOLDERS)
    return blurry, sharp
