"""What a rehearsal needs of photographs: sharp crops, and made-up cameras that resemble the own."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.data import Dataset, default_collate

from blur2blur.data.datasets import Sample
from blur2blur.errors import ConfigError
from blur2blur.training import sources
from blur2blur.training.likeness import LEAST_PX
from blur2blur.training.rehearsal import Rehearsal
from blur2blur.training.settings import DataSettings
from blur2blur.training.task import Batch, as_float

CAMERA_CROPS = 512
SIMULATED_CROPS = 48  # by each of the cameras that are compared


@dataclass(frozen=True, slots=True)
class Practice:
    """Attributes: sharp crops to train on; and, for validation, what `Rehearsal.pair` returns."""

    dataset: Dataset[Sample]
    held_out: tuple[Tensor, Tensor, Tensor]


def prepare(
    rehearsal: Rehearsal,
    roles: sources.Roles,
    data: DataSettings,
    *,
    seed: int,
    device: torch.device,
) -> Practice:
    """Return the crops of a rehearsal, and choose its made-up cameras.

    Args:
        rehearsal: keeps those cameras whose photographs look like `unknown_blurry`, if that is
            among the roles.
        roles: one role of sharp photographs; and perhaps `unknown_blurry`.
        data: how samples are cut.
        seed: of crops, cameras and validation.
        device: where the networks are.

    Raises:
        ConfigError: crops too small to be compared.
        DataError, InputError: unusable photographs.
    """
    blurry = {role: paths for role, paths in roles.items() if role == "unknown_blurry"}
    split = sources.split(
        {role: paths for role, paths in roles.items() if role not in blurry},
        data.validation_fraction,
    )
    margin_px = rehearsal.margin_px
    dataset = sources.pair_crops(split.train, data, seed=seed, margin_px=margin_px)
    later = seed + sources.VALIDATION_SEED_OFFSET
    if blurry:
        if data.crop_px < LEAST_PX:
            raise ConfigError(
                f"data.crop_px = {data.crop_px} is too small for cameras to be compared by; set "
                f"data.crop_px={LEAST_PX} or more, or rehearsal.compared=0"
            )
        unknown = sources.pair_crops(blurry, data, seed=later, margin_px=0)
        batches: list[Batch] = [
            default_collate([crops[number] for number in range(count)])
            for crops, count in ((unknown, CAMERA_CROPS), (dataset, SIMULATED_CROPS))
        ]
        of_camera, sharp = (only_image(batch).to(device) for batch in batches)
        rehearsal.resemble(of_camera, sharp, torch.Generator().manual_seed(later))
    held_out = sources.validation_batch(split.validation, data, seed=seed, margin_px=margin_px)
    (sharp,) = held_out.values()
    generator = torch.Generator().manual_seed(later)
    return Practice(dataset, rehearsal.pair(sharp.to(device), generator))


def only_image(batch: Batch) -> Tensor:
    """Return the images of the one role of a batch, float32 B 3 H W in [0, 1]."""
    (image,) = (as_float(image) for role, image in batch.items() if not role.endswith("_file"))
    return image
