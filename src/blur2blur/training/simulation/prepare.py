"""The simulated pairs of a run: of which photographs, and by which cameras."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.data import Dataset, default_collate

from blur2blur.data.samples.datasets import Processed, Sample
from blur2blur.errors import ConfigError
from blur2blur.training import sources
from blur2blur.training.sections import DataSettings, KnownBlurSettings, MatchedCamerasSettings
from blur2blur.training.simulation.camera_files import jpeg_of
from blur2blur.training.simulation.camera_matching import LEAST_PX
from blur2blur.training.simulation.pairs import Simulation
from blur2blur.training.task import Batch, images_of

CAMERA_CROPS = 512
SIMULATED_CROPS = 48  # by each of the cameras that are compared


@dataclass(frozen=True, slots=True)
class SimulatedPairs:
    """Attributes: samples `unknown`, `known` and `sharp` to train on; held-out ones, B 3 H W.

    Without a known blur there is no `known` among them.
    """

    dataset: Dataset[Sample]
    held_out: dict[str, Tensor]


def prepare(
    settings: MatchedCamerasSettings,
    known: KnownBlurSettings | None,
    streams: sources.Streams,
    data: DataSettings,
    *,
    seed: int,
) -> SimulatedPairs:
    """Return the simulated pairs of a run, by cameras chosen to look like the camera's own.

    Args:
        settings: which cameras; those are kept whose photographs look like `unknown_blurry`, if
            that is among the streams.
        known: the known blur, synthetic; None where only what cameras make is asked for.
        streams: one stream of sharp photographs; and perhaps `unknown_blurry`.
        data: how samples are cut.
        seed: of crops, cameras and validation.

    Raises:
        ConfigError: an unknown camera, or crops too small to be compared.
        DataError, InputError: unusable photographs.
    """
    simulation = Simulation(settings, known)
    blurry = {stream: paths for stream, paths in streams.items() if stream == "unknown_blurry"}
    split = sources.split(
        {stream: paths for stream, paths in streams.items() if stream not in blurry},
        data.validation_fraction,
    )
    margin_px = simulation.margin_px
    crops = sources.pair_crops(split.train, data, seed=seed, margin_px=margin_px)
    later = seed + sources.VALIDATION_SEED_OFFSET
    if blurry:
        if data.crop_px < LEAST_PX:
            raise ConfigError(
                f"data.crop_px = {data.crop_px} is too small for cameras to be compared by; set "
                f"data.crop_px={LEAST_PX} or more, or simulated.compared=0"
            )
        unknown = sources.pair_crops(blurry, data, seed=later, margin_px=0)
        batches: list[Batch] = [
            default_collate([each[number] for number in range(count)])
            for each, count in ((unknown, CAMERA_CROPS), (crops, SIMULATED_CROPS))
        ]
        of_camera, sharp = (only_image(batch) for batch in batches)
        rng = torch.Generator().manual_seed(later)
        # averaged down, photographs have other traces of compression than their files tell
        jpeg = jpeg_of(blurry["unknown_blurry"]) if data.shrink == (1, 1) else None
        simulation.match(of_camera, sharp, rng, compared=settings.compared, jpeg=jpeg)

    def process(images: dict[str, Tensor], rng: torch.Generator) -> dict[str, Tensor]:
        (sharp,) = images.values()
        return simulation.pair(sharp, rng)

    held_out = Processed(
        sources.validation_crops(split.validation, data, seed=seed, margin_px=margin_px),
        process,
        seed=later,
    )
    batch = default_collate([held_out[number] for number in range(data.validation_crops)])
    return SimulatedPairs(Processed(crops, process, seed=seed), images_of(batch))


def only_image(batch: Batch) -> Tensor:
    """Return the images of the one stream of a batch, float32 B 3 H W in [0, 1]."""
    (image,) = images_of(batch).values()
    return image
