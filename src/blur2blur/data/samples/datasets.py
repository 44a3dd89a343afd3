"""Training samples: random crops, a pure function of (seed, sample number).

A sample number counts every sample that training will ever draw, over steps, batch and ranks.
Nothing is remembered between samples, so a resumed run draws what an uninterrupted one would.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from blur2blur import images
from blur2blur.data.samples import transforms
from blur2blur.data.samples.decoding import DecodedImages
from blur2blur.data.samples.graphics import draw_graphics
from blur2blur.errors import DataError

Sample = dict[str, Tensor | str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Augmentation:
    """How samples are varied.

    Attributes:
        rotations: by multiples of 90 degrees; flips always happen.
        colour_jitter: strength, as `transforms.jitter_factors` takes it.
        places: how many places are drawn for a crop; the one of most detail is kept.
        graphics: share of the crops with text and lines on them; what is blurry already, and the
            sharp partners of that, have none: nothing would blur them.
    """

    rotations: bool = True
    colour_jitter: float = 0.0
    places: int = 1
    graphics: float = 0.0


class _Group:
    """Aligned lists of images (one, or blurry and sharp) that are cropped together."""

    def __init__(
        self,
        streams: Mapping[str, Sequence[Path]],
        *,
        crop_px: int,
        margin_px: int,
        cache_gb: float,
        shrink: tuple[float, float],
    ) -> None:
        self.side_px = crop_px + 2 * margin_px
        self._shrink = shrink
        # one whole factor: photographs are reduced when they are read, not each crop
        whole = int(shrink[0]) if shrink[0] == shrink[1] == int(shrink[0]) else 1
        self._crops_shrink = whole != shrink[1]
        self._sharp = not any(stream.endswith("blurry") for stream in streams)
        self.streams = {
            stream: DecodedImages(paths, cache_gb=cache_gb, shrink=whole)
            for stream, paths in streams.items()
        }
        first, *others = self.streams.values()
        if not len(first):
            raise DataError(f"no photographs for {' and '.join(self.streams)}")
        for path, (height, width), size in zip(
            first.paths, first.file_sizes, first.sizes, strict=True
        ):
            if min(size) * whole < self.side_px * shrink[0]:
                margin = f" and {margin_px} px of margin on each side" if margin_px else ""
                shrunk = f" after data.shrink = {shrink[0]:g}" if shrink[0] > 1 else ""
                raise DataError(
                    f"{path} is {width}x{height}, smaller{shrunk} than the crop of {crop_px} px"
                    f"{margin}; remove it or set data.crop_px lower"
                )
        for other in others:
            pairs = zip(first.paths, first.file_sizes, other.paths, other.file_sizes, strict=True)
            for path, size, other_path, other_size in pairs:
                if size != other_size:
                    raise DataError(
                        f"{path} is {size[1]}x{size[0]} but its partner {other_path} is "
                        f"{other_size[1]}x{other_size[0]}; a pair must have one size"
                    )
        self.count = len(first)

    def __len__(self) -> int:
        return self.count

    def draw(self, index: int, rng: np.random.Generator, augmentation: Augmentation) -> Sample:
        sample: Sample = {}
        size = next(iter(self.streams.values())).sizes[index]
        side_px = self._side(size, rng)
        photographs = {stream: decoded[index] for stream, decoded in self.streams.items()}
        first = next(iter(photographs.values()))
        rows, columns = max(
            (transforms.random_crop(size, side_px, rng) for _ in range(augmentation.places)),
            key=lambda place: images.sharpness(first[place]) if augmentation.places > 1 else 0,
        )
        flip = bool(rng.integers(2))
        turns = int(rng.integers(4)) if augmentation.rotations else 0
        factors = transforms.jitter_factors(augmentation.colour_jitter, rng)
        share = augmentation.graphics if self._sharp else 0
        graphics = share and rng.random() < share
        seed = int(rng.integers(2**32)) if graphics else 0
        for stream, photograph in photographs.items():
            pixels = photograph[rows, columns]
            if side_px != self.side_px:
                pixels = transforms.reduced(pixels, self.side_px)
            if graphics:
                pixels = draw_graphics(pixels, np.random.default_rng(seed))
            crop = transforms.to_tensor(pixels, turns=turns, flip=flip)
            jittered = augmentation.colour_jitter > 0
            sample[stream] = transforms.jitter_colour(crop, factors) if jittered else crop
            sample[f"{stream}_file"] = str(self.streams[stream].paths[index])
        return sample

    def _side(self, size: tuple[int, int], rng: np.random.Generator) -> int:
        """Return the side in the photograph of what becomes a crop."""
        if not self._crops_shrink:
            return self.side_px
        low, high = self._shrink
        high = min(high, min(size) / self.side_px)
        return int(self.side_px * low * (high / low) ** rng.random())


class Pairs(Dataset[Sample]):
    """Crops of aligned images: keys are the streams, values uint8 3 S S sRGB, S = crop + 2 margins.

    With `{"known_blurry": C, "known_sharp": D}` it is the known blur's pairs; with one stream it is
    a folder of sharp photographs. `<stream>_file` names the file a crop came from. The margin is
    for blurs that are yet to be laid over the crop and reach beyond it. `shrink` averages
    photographs down by a factor between two ends, uniform in its logarithm, another for each crop.
    """

    def __init__(
        self,
        streams: Mapping[str, Sequence[Path]],
        *,
        crop_px: int,
        seed: int,
        margin_px: int = 0,
        augmentation: Augmentation = Augmentation(),
        cache_gb: float = 0.0,
        shrink: tuple[float, float] = (1, 1),
    ) -> None:
        """Check every file's header, and decode what fits into `cache_gb`.

        Raises:
            DataError: no files, a file smaller than the crop, a pair of two sizes.
            InputError: an unreadable file.
        """
        share_gb = cache_gb / len(streams)
        self._group = _Group(
            streams, crop_px=crop_px, margin_px=margin_px, cache_gb=share_gb, shrink=shrink
        )
        self._augmentation = augmentation
        self._seed = seed

    def __getitem__(self, number: int) -> Sample:
        """Return sample `number` of the endless sequence that `seed` defines."""
        rng = np.random.default_rng((self._seed, number))
        index = int(rng.integers(len(self._group)))
        return self._group.draw(index, rng, self._augmentation)


class UnpairedBlur(Dataset[Sample]):
    """Crops for the converter: unknown blurry and known-blur images, drawn independently.

    Keys `unknown_blurry` and the streams of `known`: `unknown_sharp` where the known blur will be
    laid over the camera's own sharp photographs, `known_blurry` and `known_sharp` (aligned) where
    it comes as pairs. Values as in `Pairs`.

    Sharpness curriculum (Blur2Blur, section 4): the blurry photographs are ranked by the variance
    of their Laplacian; until `curriculum_steps` only the sharper half is drawn, then the pool
    grows linearly and is whole at twice that step.
    """

    def __init__(
        self,
        *,
        unknown_blurry: Sequence[Path],
        known: Mapping[str, Sequence[Path]],
        crop_px: int,
        seed: int,
        samples_per_step: int,
        known_margin_px: int = 0,
        augmentation: Augmentation = Augmentation(),
        cache_gb: float = 0.0,
        shrink: tuple[float, float] = (1, 1),
        curriculum_steps: int = 0,
    ) -> None:
        """Check headers and decode as `Pairs` does, and raise what it raises."""
        share_gb = cache_gb / (1 + len(known))
        self._blurry = _Group(
            {"unknown_blurry": unknown_blurry},
            crop_px=crop_px,
            margin_px=0,
            cache_gb=share_gb,
            shrink=shrink,
        )
        self._known = _Group(
            known, crop_px=crop_px, margin_px=known_margin_px, cache_gb=share_gb, shrink=shrink
        )
        self._augmentation = augmentation
        self._seed = seed
        self._samples_per_step = samples_per_step
        self._curriculum_steps = curriculum_steps
        blurry = self._blurry.streams["unknown_blurry"]
        self._sharpest_first = list(range(len(blurry)))
        if curriculum_steps:

            def sharpness(index: int) -> float:
                return images.sharpness(blurry[index])

            with ThreadPoolExecutor() as pool:
                values = list(pool.map(sharpness, self._sharpest_first))
            self._sharpest_first.sort(key=lambda index: -values[index])

    def _pool_size(self, number: int) -> int:
        """Return how many of the sharpest blurry photographs sample `number` may draw from."""
        whole = len(self._sharpest_first)
        if not self._curriculum_steps:
            return whole
        progress = number / self._samples_per_step / self._curriculum_steps - 1
        fraction = 0.5 + 0.5 * min(max(progress, 0.0), 1.0)
        return max(1, round(whole * fraction))

    def __getitem__(self, number: int) -> Sample:
        """Return sample `number` of the endless sequence that `seed` defines."""
        rng = np.random.default_rng((self._seed, number))
        index = self._sharpest_first[int(rng.integers(self._pool_size(number)))]
        blurry = self._blurry.draw(index, rng, self._augmentation)
        index = int(rng.integers(len(self._known)))
        return blurry | self._known.draw(index, rng, self._augmentation)


class Processed(Dataset[Sample]):
    """Images that `process` makes of another dataset's, in the processes that load them.

    Keys are those that `process` returns, values uint8 3 S S sRGB, or numbers; `<stream>_file` is
    kept.
    """

    def __init__(
        self,
        samples: Dataset[Sample],
        process: Callable[[dict[str, Tensor], torch.Generator], dict[str, Tensor]],
        *,
        seed: int,
    ) -> None:
        """Take what is processed.

        Args:
            samples: uint8 images 3 H W.
            process: makes named images, B 3 S S in [0, 1], or B numbers, of the samples' images,
                float32 B 3 H W in [0, 1], B being 1; draws from the generator.
            seed: with a sample's number the generator's.
        """
        self._samples, self._process, self._seed = samples, process, seed

    def __getitem__(self, number: int) -> Sample:
        """Return what is made of sample `number`."""
        sample = self._samples[number]
        state = np.random.SeedSequence((self._seed, number, 1)).generate_state(1, np.uint64)
        rng = torch.Generator().manual_seed(int(state[0] >> np.uint64(1)))
        images = {
            stream: image[None].float() / 255
            for stream, image in sample.items()
            if isinstance(image, Tensor)
        }
        made = {
            name: (values[0] * 255).round().byte() if values.dim() == 4 else values[0]
            for name, values in self._process(images, rng).items()
        }
        return made | {key: value for key, value in sample.items() if isinstance(value, str)}


class StepSampler(Sampler[int]):
    """Sample numbers of one rank from step `first_step` to `last_step` (exclusive)."""

    def __init__(
        self, *, first_step: int, last_step: int, batch_size: int, rank: int = 0, ranks: int = 1
    ) -> None:
        """Each step draws `batch_size` samples on each of `ranks` processes."""
        self._steps = range(first_step, last_step)
        self._batch_size = batch_size
        self._rank = rank
        self._ranks = ranks

    def __len__(self) -> int:
        return len(self._steps) * self._batch_size

    def __iter__(self) -> Iterator[int]:
        for step in self._steps:
            start = (step * self._ranks + self._rank) * self._batch_size
            yield from range(start, start + self._batch_size)
