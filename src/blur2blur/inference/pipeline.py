"""The method on an image of any size: unknown blur -> converter -> known blur -> deblurrer."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from blur2blur import tiling
from blur2blur.errors import CheckpointError, ConfigError, InputError
from blur2blur.inference import backends, working_scale
from blur2blur.inference.backends import Backend, Precision
from blur2blur.inference.blur_extent import estimate_px, is_sharp, load_estimator
from blur2blur.inference.ensemble import of_eight
from blur2blur.inference.kinds import unpack
from blur2blur.inference.working_scale import Scale, factor_of
from blur2blur.tiling import Pixels, pad_to_rule
from blur2blur.weights import zoo

if TYPE_CHECKING:
    from torch import nn

    from blur2blur.inference.kinds import AnyImage

    Source = str | Path | nn.Module

Ensemble = Literal["none", "x8"]

DEFAULT_OVERLAP_PX = 96

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What a pipeline made of an image; both are of the image's kind, sRGB, clamped to [0, 1].

    Attributes:
        deblurred: the sharp image.
        converted: the image with its blur turned into the known blur; None without a converter.
    """

    deblurred: Any
    converted: Any


class Pipeline:
    """Converter and deblurrer, run tile by tile in one pass.

    `pipeline(image)` returns the deblurred image, `pipeline.run(image)` the converted one too.
    Where memory does not suffice the tiles are halved until it does. Threads may share a pipeline;
    other processes are sent what it was built from, and build it again.

    Attributes:
        converts: whether there is a converter.
        device: where it runs.
        backend: what runs it.
        precision: in which precision.
        size_rule: the image sides that the networks accept.
        tile_px: longest side of a tile; smaller once memory did not suffice.
        strength: how much of the change is made, 0 to 1.
        built_from: the arguments by name.
    """

    def __init__(
        self,
        deblurrer: "Source" = zoo.DEFAULT,
        converter: "Source | None" = None,
        *,
        device: str = "auto",
        backend: Backend = "auto",
        precision: Precision = "auto",
        tile_px: int | None = None,
        overlap_px: int = DEFAULT_OVERLAP_PX,
        batch_size: int = 1,
        ensemble: Ensemble = "none",
        scale: Scale = "auto",
        strength: float = 1.0,
    ) -> None:
        """Load the networks.

        Args:
            deblurrer: a shipped name, a file of `blur2blur train deblurrer`, what `blur2blur
                export` made of one (.onnx or .xml), a file of another project (extra `zoo`), or a
                module of torch that maps B 3 H W, sRGB in [0, 1], to an image of that size or to a
                tuple whose last is; its `size_rule`, where it has one, is kept by padding.
                "default" is the one that the converter was trained through, or, without, the one
                that is made for cameras in general.
            converter: likewise, or a run folder; None or "none" deblurs the image as it is.
            device: "auto" (GPU where there is one), "cpu", "cuda", "cuda:1", "mps"...
            backend: what runs them. "auto" is openvino on a CPU for networks of this project, else
                eager, which is torch as it is.
            precision: "auto" is, on a GPU, bf16, fp16 or fp32, the first it can; on a CPU bf16
                where the processor computes in it, else fp32.
            tile_px: longest side of a tile in pixels, whose square memory grows with; None for
                what suits the backend, but at least twice the overlap.
            overlap_px: pixels that neighbouring tiles share, half of them context for each.
            batch_size: tiles processed at once.
            ensemble: "x8" returns the mean over a tile turned and mirrored in every way, for eight
                times the seconds; "none" does not.
            scale: the working scale (see `working_scale`): "1", "1/2", "1/3" or "1/4" of the
                image's sides, or "auto", which chooses for each image by the extent of its blur.
            strength: how much of the change is made: 0 returns the image, 1 the deblurred one.

        Raises:
            CheckpointError: a file that is missing, damaged, unsafe or of another kind; an unknown
                name.
            ConfigError: a device that is not there, an extra that is not installed, a backend that
                cannot take the networks, a precision that is not possible, a tile that is not
                larger than the overlap, a batch size below 1, an ensemble or a scale that there is
                not, a strength outside [0, 1].
        """
        self.built_from: dict[str, Any] = {
            key: value for key, value in locals().items() if key not in ("self", "__class__")
        }
        deblurrer, converter = zoo.pair(deblurrer, converter)
        self.converts = converter is not None
        self.overlap_px, self.batch_size = overlap_px, batch_size
        if batch_size < 1:
            raise ConfigError(f"batch {batch_size}: at least one tile must be processed at once")
        if ensemble not in get_args(Ensemble):
            raise ConfigError(f"ensemble '{ensemble}': choose {' or '.join(get_args(Ensemble))}")
        self.ensemble: Ensemble = ensemble
        if not 0 <= strength <= 1:
            raise ConfigError(f"strength {strength:g}: it goes from 0, no change, to 1")
        self.strength = strength
        self._factor = factor_of(scale)
        pair = [("deblurrer", deblurrer)]
        if converter is not None:
            pair = [("converter", converter), *pair]
        engine = backends.build(pair, device=device, backend=backend, precision=precision)
        self.device, self.size_rule = engine.device, engine.size_rule
        self.backend, self.precision, self._run = engine.backend, engine.precision, engine.restore
        least_px = 2 * self.size_rule.padded(overlap_px, overlap_px)[0]
        self.tile_px = max(engine.tile_px, least_px) if tile_px is None else tile_px
        self._check_tile(self.tile_px)
        self._estimate: Callable[[Pixels], Pixels] | None = None

    def __repr__(self) -> str:
        built = ", ".join(f"{key}={value!r}" for key, value in self.built_from.items())
        return f"Pipeline({built}) on {self.device} by {self.backend} in {self.precision}"

    def __enter__(self) -> "Pipeline":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Give back the memory of the networks; the pipeline cannot be used after that."""
        self._run = _closed
        self._estimate = None

    def __reduce__(self) -> "tuple[Callable[..., Pipeline], tuple[dict[str, Any]]]":
        return _build, (self.built_from,)

    def __call__(
        self,
        image: "AnyImage | list[AnyImage]",
        *,
        on_tile: Callable[[int, int], None] | None = None,
    ) -> Any:  # noqa: ANN401 (the kind that was given)
        """Return the deblurred image, of the kind that was given.

        Args:
            image: a path, a PIL image, an array (uint8, uint16 or float; H W, H W 3, H W 4), a
                tensor (float; 3 H W or B 3 H W), or a list of them; sRGB, floats in [0, 1], any
                size.
            on_tile: told (tiles done, tiles in all) as the work goes on.

        Returns:
            The same kind, size and type; of a path a PIL image, of a list a list. Transparency
            stays as it is.

        Raises:
            InputError: another kind, shape, type or range; an image too small for the scale; too
                little memory for the smallest tile.
            CheckpointError: a network returned values that are not finite.
        """
        if isinstance(image, list | tuple):
            return [self(each, on_tile=on_tile) for each in image]
        arrays, back = unpack(image)
        return back([self.process(each, out=each, on_tile=on_tile) for each in arrays])

    def run(
        self, image: "AnyImage", *, on_tile: Callable[[int, int], None] | None = None
    ) -> Result:
        """Return the deblurred and the converted image; arguments and errors as in a call."""
        arrays, back = unpack(image)
        merged = [
            self.process(each, keep_converted=self.converts, on_tile=on_tile) for each in arrays
        ]
        return Result(
            deblurred=back([each[..., -3:] for each in merged]),
            converted=back([each[..., :3] for each in merged]) if self.converts else None,
        )

    def choose_factor(self, pixels: Pixels) -> int:
        """Return what the sides of an image (H W 3) are divided by while it is deblurred."""
        if self._factor is not None:
            return self._factor
        height, width = pixels.shape[:2]
        return working_scale.choose(self.extent_px(pixels), height, width, self.size_rule)

    def extent_px(self, pixels: Pixels) -> float:
        """Return how far the blur of an image (H W 3) reaches, in pixels; an estimate."""
        return estimate_px(self._estimator(), pixels)

    def finds_sharp(self, pixels: Pixels) -> bool:
        """Tell whether an image (H W 3) is sharp already; `process` does not ask."""
        return is_sharp(self._estimator(), pixels)

    def _estimator(self) -> Callable[[Pixels], Pixels]:
        if self._estimate is None:
            self._estimate = load_estimator()
        return self._estimate

    def process(
        self,
        pixels: Pixels,
        *,
        factor: int | None = None,
        keep_converted: bool = False,
        out: Pixels | None = None,
        on_tile: Callable[[int, int], None] | None = None,
    ) -> Pixels:
        """Deblur pixels that are known to be an image: what every door ends in.

        Args:
            pixels: float32 H W 3, sRGB in [0, 1].
            factor: what the sides are divided by meanwhile; None for what the scale says.
            keep_converted: return converted and deblurred, H W 6.
            out: where to write the result; may be `pixels`. None for a new array.
            on_tile: as in a call.

        Returns:
            float32 H W 3, or H W 6, clamped to [0, 1].

        Raises:
            InputError, CheckpointError: as a call.
        """
        factor = factor or self.choose_factor(pixels)
        process = partial(self._process_tiles, keep_converted=keep_converted, on_tile=on_tile)
        if factor == 1:
            return process(pixels, out=out)
        height, width = pixels.shape[:2]
        working_scale.check_fits(height, width, factor, self.size_rule)
        return working_scale.at_scale(pixels, factor, process, out=out)

    def _process_tiles(
        self,
        pixels: Pixels,
        *,
        keep_converted: bool,
        on_tile: Callable[[int, int], None] | None,
        out: Pixels | None = None,
    ) -> Pixels:
        restore: Callable[[Pixels], Pixels] = partial(self._restore, keep_converted=keep_converted)
        if self.ensemble == "x8":
            restore = of_eight(restore, self.size_rule)
        return tiling.process_tiles(
            pixels,
            _WithinMemory(self, restore),
            tile_px=self.tile_px,
            overlap_px=self.overlap_px,
            align=self.size_rule.multiple,
            batch_size=self.batch_size,
            out=out,
            on_tile=on_tile,
        )

    def _restore(self, tiles: Pixels, *, keep_converted: bool) -> Pixels:
        """Map N h w 3 to N h w 3, or to N h w 6: converted, deblurred."""
        height, width = tiles.shape[1:3]
        padded = pad_to_rule(tiles, self.size_rule)
        images = self._run(padded.transpose(0, 3, 1, 2))
        result = np.concatenate(images, axis=1) if keep_converted else images[-1]
        result = result[..., :height, :width]
        if self.strength < 1:
            seen = tiles.transpose(0, 3, 1, 2)
            mixed = seen + np.float32(self.strength) * (result[:, -3:] - seen)
            result = np.concatenate((result[:, :-3], mixed), axis=1)
        # of clamped values: only NaN is not finite, and a sum needs no memory for each
        if not np.isfinite(result.sum()):
            raise CheckpointError(
                f"the network returned values that are not finite in {self.precision}; use "
                "precision fp32, or other weights if it is that already"
            )
        return result.transpose(0, 2, 3, 1)

    def _check_tile(self, tile_px: int) -> None:
        """Raise ConfigError where a tile is not larger than the overlap."""
        align = self.size_rule.multiple
        tiling.plan_axis(1, tile_px=tile_px, overlap_px=self.overlap_px, align=align)

    def smaller_tile_px(self, tile_px: int) -> int:
        """Return half a tile's side, where memory did not suffice for it.

        Raises:
            InputError: half of it is too small.
        """
        try:
            self._check_tile(tile_px // 2)
        except ConfigError as error:
            raise InputError(
                f"{self.device} has too little memory even for tiles of {tile_px} pixels; use a "
                "smaller overlap, or another device"
            ) from error
        return tile_px // 2


class _WithinMemory:
    """Does what `restore` does, in smaller tiles from where on memory does not suffice."""

    def __init__(self, pipeline: Pipeline, restore: Callable[[Pixels], Pixels]) -> None:
        self._pipeline, self._restore = pipeline, restore
        self._tile_px = pipeline.tile_px

    def __call__(self, tiles: Pixels) -> Pixels:
        while True:
            try:
                if max(tiles.shape[1:3]) <= self._tile_px:
                    return self._restore(tiles)
                return np.stack([self._divided(tile) for tile in tiles])
            except Exception as error:  # each runtime has its own
                if not backends.is_out_of_memory(error):
                    raise
            # outside the handler: its traceback would keep the arrays of the failed tile alive
            smaller = self._pipeline.smaller_tile_px(self._tile_px)
            _log.warning(
                "%s ran out of memory with tiles of %d pixels; going on with %d",
                self._pipeline.device,
                self._tile_px,
                smaller,
            )
            self._tile_px = smaller
            # the next image need not find it out anew
            self._pipeline.tile_px = min(self._pipeline.tile_px, smaller)

    def _divided(self, tile: Pixels) -> Pixels:
        return tiling.process_tiles(
            tile,
            self._restore,
            tile_px=self._tile_px,
            overlap_px=self._pipeline.overlap_px,
            align=self._pipeline.size_rule.multiple,
        )


def _closed(images: Pixels) -> tuple[Pixels, ...]:
    raise ConfigError("this pipeline is closed; build another one")


def _build(built_from: dict[str, Any]) -> Pipeline:
    return Pipeline(**built_from)
