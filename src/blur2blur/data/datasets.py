"""Training samples: random crops, a pure function of (seed, sample number).

A sample number counts every sample that training will ever draw, over steps, batch and ranks.
Nothing is remembered between samples, so a resumed run draws what an uninterrupted one would.
"""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from blur2blur import images
from blur2blur.data import transforms
from blur2blur.data.decoding import DecodedImages
from blur2blur.errors import DataError

Sample = dict[str, Tensor | str]


class _Group:
    """Aligned lists of images (one, or blurry and sharp) that are cropped together."""

    def __init__(
        self,
        roles: Mapping[str, Sequence[Path]],
        *,
        crop_px: int,
        margin_px: int,
        cache_gb: float,
        shrink: int,
    ) -> None:
        self.side_px = crop_px + 2 * margin_px
        self.roles = {
            role: DecodedImages(paths, cache_gb=cache_gb, shrink=shrink)
            for role, paths in roles.items()
        }
        first, *others = self.roles.values()
        if not len(first):
            raise DataError(f"no photographs for {' and '.join(self.roles)}")
        for path, (height, width), size in zip(
            first.paths, first.file_sizes, first.sizes, strict=True
        ):
            if min(size) < self.side_px:
                margin = f" and {margin_px} px of margin on each side" if margin_px else ""
                shrunk = f" after data.shrink = {shrink}" if shrink > 1 else ""
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

    def draw(
        self,
        index: int,
        rng: np.random.Generator,
        *,
        rotations: bool,
        colour_jitter: float,
    ) -> Sample:
        sample: Sample = {}
        size = next(iter(self.roles.values())).sizes[index]
        rows, columns = transforms.random_crop(size, self.side_px, rng)
        flip = bool(rng.integers(2))
        turns = int(rng.integers(4)) if rotations else 0
        factors = transforms.jitter_factors(colour_jitter, rng)
        for role, decoded in self.roles.items():
            crop = transforms.to_tensor(decoded[index][rows, columns], turns=turns, flip=flip)
            sample[role] = transforms.jitter_colour(crop, factors) if colour_jitter else crop
            sample[f"{role}_file"] = str(decoded.paths[index])
        return sample


class Pairs(Dataset[Sample]):
    """Crops of aligned images: keys are the roles, values uint8 3 S S sRGB, S = crop + 2 margins.

    With `{"known_blurry": C, "known_sharp": D}` it is the known blur's pairs; with one role it is
    a folder of sharp photographs. `<role>_file` names the file a crop came from. The margin is for
    blurs that are yet to be laid over the crop and reach beyond it. `shrink` averages photographs
    down.
    """

    def __init__(
        self,
        roles: Mapping[str, Sequence[Path]],
        *,
        crop_px: int,
        seed: int,
        margin_px: int = 0,
        rotations: bool = True,
        colour_jitter: float = 0.0,
        cache_gb: float = 0.0,
        shrink: int = 1,
    ) -> None:
        """Check every file's header, and decode what fits into `cache_gb`.

        Raises:
            DataError: no files, a file smaller than the crop, a pair of two sizes.
            InputError: an unreadable file.
        """
        share_gb = cache_gb / len(roles)
        self._group = _Group(
            roles, crop_px=crop_px, margin_px=margin_px, cache_gb=share_gb, shrink=shrink
        )
        self._rotations, self._colour_jitter = rotations, colour_jitter
        self._seed = seed

    def __getitem__(self, number: int) -> Sample:
        """Return sample `number` of the endless sequence that `seed` defines."""
        rng = np.random.default_rng((self._seed, number))
        index = int(rng.integers(len(self._group)))
        return self._group.draw(
            index, rng, rotations=self._rotations, colour_jitter=self._colour_jitter
        )


class UnpairedBlur(Dataset[Sample]):
    """Crops for the converter: unknown blurry and known-blur images, drawn independently.

    Keys `unknown_blurry` and the roles of `known`: `unknown_sharp` where the known blur will be
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
        rotations: bool = True,
        colour_jitter: float = 0.0,
        cache_gb: float = 0.0,
        shrink: int = 1,
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
        self._rotations, self._colour_jitter = rotations, colour_jitter
        self._seed = seed
        self._samples_per_step = samples_per_step
        self._curriculum_steps = curriculum_steps
        blurry = self._blurry.roles["unknown_blurry"]
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
        blurry = self._blurry.draw(
            index, rng, rotations=self._rotations, colour_jitter=self._colour_jitter
        )
        index = int(rng.integers(len(self._known)))
        return blurry | self._known.draw(
            index, rng, rotations=self._rotations, colour_jitter=self._colour_jitter
        )


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
