"""Which photographs a run trains on and which it is judged by."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import Dataset, default_collate

from blur2blur.blur import Camera, load_camera
from blur2blur.data.samples.datasets import Augmentation, Pairs, Processed, Sample
from blur2blur.errors import ConfigError, DataError
from blur2blur.tensors import to_linear, to_srgb
from blur2blur.training.code_bank import CodeBank
from blur2blur.training.sections import DataSettings, KnownBlurSettings
from blur2blur.training.task import as_float

Streams = Mapping[str, Sequence[Path]]

VALIDATION_SEED_OFFSET = 1_000_003
"""Keeps validation crops and blurs apart from those of any training seed in use."""


@dataclass(frozen=True)
class Split:
    """Photographs to learn from and photographs to be judged by, by stream."""

    train: Streams
    validation: Streams


def split(streams: Streams, fraction: float) -> Split:
    """Hold out the last `fraction` of the files, in the order of their names; never all of them.

    Frames of one scene stand together in that order, so few scenes are in both parts. At least one
    is held out; a single photograph has to serve for both.

    Raises:
        DataError: a stream has no photographs.
    """
    for stream, paths in streams.items():
        if not paths:
            raise DataError(f"no photographs for {stream.replace('_', ' ')}")
    count = len(next(iter(streams.values())))
    kept = max(1, min(count - 1, count - round(count * fraction)))
    return Split(
        train={stream: paths[:kept] for stream, paths in streams.items()},
        validation={
            stream: paths[kept:] if count > 1 else paths for stream, paths in streams.items()
        },
    )


def apart(streams: Streams) -> tuple[Streams, Streams]:
    """Return the streams that crops are cut from, and the pairs whose blur is laid over those.

    The latter are empty where crops are cut from the pairs themselves, or there are none.
    """
    pairs = {stream: paths for stream, paths in streams.items() if stream.startswith("known_")}
    others = {stream: paths for stream, paths in streams.items() if stream not in pairs}
    return (others, pairs) if "unknown_sharp" in streams else (streams, {})


def validation_batch(
    streams: Streams, settings: DataSettings, *, seed: int, margin_px: int = 0
) -> dict[str, Tensor]:
    """Return fixed crops of held-out photographs: stream -> float32 B 3 H W sRGB in [0,1]."""
    crops = validation_crops(streams, settings, seed=seed, margin_px=margin_px)
    samples: list[Sample] = [crops[number] for number in range(settings.validation_crops)]
    batch = default_collate(samples)
    return {stream: as_float(batch[stream]) for stream in streams}


def validation_crops(
    streams: Streams, settings: DataSettings, *, seed: int, margin_px: int
) -> Pairs:
    """Return the endless crops of held-out photographs; raises as `Pairs`."""
    return Pairs(
        streams,
        crop_px=settings.crop_px,
        margin_px=margin_px,
        seed=seed + VALIDATION_SEED_OFFSET,
        augmentation=Augmentation(places=settings.places),
        shrink=settings.shrink,
    )


def pair_crops(streams: Streams, settings: DataSettings, *, seed: int, margin_px: int) -> Pairs:
    """Return the endless crops that a network for known pairs learns from; raises as `Pairs`."""
    return Pairs(
        streams,
        crop_px=settings.crop_px,
        margin_px=margin_px,
        seed=seed,
        augmentation=settings.augmentation,
        cache_gb=settings.cache_gb,
        shrink=settings.shrink,
    )


class KnownBlur:
    """Where known-blur images come from: pairs as they are, or a blur laid over sharp images."""

    def __init__(
        self,
        settings: KnownBlurSettings,
        device: torch.device,
        *,
        pairs: Streams | None = None,
        shrink: tuple[float, float] = (1, 1),
    ) -> None:
        """Read the camera, or the kernel extractor and the codes of the pairs.

        Args:
            settings: says which.
            device: where `pair` is called.
            pairs: `known_blurry` and `known_sharp`, whose blur is transferred; needed by that
                source alone.
            shrink: the pairs are averaged down by this factor, as the photographs are.

        Raises:
            ConfigError: an unknown camera.
            CheckpointError: the kernel extractor cannot be loaded.
            InputError: pairs that it cannot take.
        """
        self._camera: Camera | None = None
        self._bank: CodeBank | None = None
        self.margin_px = 0
        if settings.source == "synthetic":
            camera = load_camera(settings.camera, settings.overrides)
            self._camera = Camera(camera, of_crops=True)
            self.margin_px = self._camera.reach_px
        elif settings.source == "transfer":
            assert pairs
            if shrink[0] != shrink[1] or shrink[0] % 1:
                raise ConfigError(
                    f"data.shrink = {list(shrink)} with known.source = 'transfer': the blur of "
                    "pairs is read at one size; set one whole number"
                )
            self._bank = CodeBank(settings.extractor, pairs, device, shrink=int(shrink[0]))

    @torch.no_grad()
    def pair(self, streams: Mapping[str, Tensor], rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """Return known blurry and known sharp, B 3 H W sRGB in [0,1] (blurry rounded to 8 bits).

        Args:
            streams: `known_blurry` and `known_sharp`, or one stream of sharp images with
                `margin_px` more on each side than is returned: the blur reaches that far.
            rng: draws the blur.
        """
        if "known_blurry" in streams:
            return streams["known_blurry"], streams["known_sharp"]
        (sharp,) = streams.values()
        if self._bank is not None:
            return _as_stored(self._bank.blur(sharp, rng)), sharp
        assert self._camera is not None
        exposure = self._camera.draw(len(sharp), rng, *sharp.shape[-2:])
        blurry = _as_stored(self._camera.blur(sharp, rng, exposure=exposure))
        sharp = to_srgb(exposure.movement.compose(to_linear(sharp)))
        end = -self.margin_px or None
        inside = (..., slice(self.margin_px, end), slice(self.margin_px, end))
        return blurry[inside], sharp[inside]

    def dataset(self, streams: Streams, settings: DataSettings, *, seed: int) -> Dataset[Sample]:
        """Return the endless pairs to learn from; raises as `Pairs`.

        They are crops, or, where a camera's blur is laid over sharp ones, `pair`'s, made in the
        processes that load them.
        """
        crops = pair_crops(streams, settings, seed=seed, margin_px=self.margin_px)
        if self._camera is None:
            return crops

        def process(images: dict[str, Tensor], rng: torch.Generator) -> dict[str, Tensor]:
            blurry, sharp = self.pair(images, rng)
            return {"known_blurry": blurry, "known_sharp": sharp}

        return Processed(crops, process, seed=seed)

    def held_out(
        self, streams: Streams, settings: DataSettings, *, seed: int, device: torch.device
    ) -> tuple[Tensor, Tensor]:
        """Return a fixed batch of known blurry and known sharp crops, as `pair` does."""
        crops = validation_batch(streams, settings, seed=seed, margin_px=self.margin_px)
        return self.pair(
            {stream: images.to(device) for stream, images in crops.items()},
            torch.Generator().manual_seed(seed + VALIDATION_SEED_OFFSET),
        )


def _as_stored(image: Tensor) -> Tensor:
    """Round to 8 bits, as photographs are: steps must not tell known from unknown blur."""
    return (image * 255).round() / 255
