"""The method on an image of any size: unknown blur -> converter -> known blur -> deblurrer."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from blur2blur import tiling
from blur2blur.device import find_device
from blur2blur.errors import CheckpointError, ConfigError, InputError
from blur2blur.inference import backends, working_scale
from blur2blur.inference.backends import Backend, Precision
from blur2blur.inference.blur_extent import estimate_px
from blur2blur.inference.chain import Chain
from blur2blur.inference.ensemble import of_eight
from blur2blur.inference.exporting import read
from blur2blur.inference.working_scale import Scale, factor_of
from blur2blur.networks import pad_to_rule
from blur2blur.weights import zoo

Ensemble = Literal["none", "x8"]

DEFAULT_OVERLAP_PX = 96

# What a filter or a change of colour space may add to the ends of [0, 1] by rounding.
_RANGE_TOLERANCE = 1e-3

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What a pipeline made of an image; both are shaped like it, sRGB, clamped to [0, 1].

    Attributes:
        deblurred: the sharp image.
        converted: the image with its blur turned into the known blur; None without a converter.
    """

    deblurred: Tensor
    converted: Tensor | None


class Pipeline:
    """Converter and deblurrer, run tile by tile in one pass.

    `pipeline(image)` returns the deblurred image, `pipeline.run(image)` the converted one too.
    Where memory does not suffice the tiles are halved until it does.

    Attributes:
        device: where it runs.
        backend: what runs it.
        precision: in which precision.
        size_rule: the image sides that the networks accept.
        tile_px: longest side of a tile.
    """

    def __init__(
        self,
        deblurrer: nn.Module,
        converter: nn.Module | None = None,
        *,
        device: str = "auto",
        backend: Backend = "auto",
        precision: Precision = "auto",
        tile_px: int | None = None,
        overlap_px: int = DEFAULT_OVERLAP_PX,
        batch_size: int = 1,
        ensemble: Ensemble = "none",
        scale: Scale = "1",
    ) -> None:
        """Move the networks to the device, in evaluation mode.

        Args:
            deblurrer: maps B 3 H W, sRGB in [0, 1], to an image of that size or to a tuple whose
                last is; its `size_rule`, where it has one, is kept by padding.
            converter: likewise; None deblurs the image as it is.
            device: "auto" (GPU where there is one), "cpu", "cuda", "cuda:1", "mps"...
            backend: what runs them. "auto" is openvino on a CPU where it is installed and the
                networks are of this project, else eager, which is torch as it is.
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

        Raises:
            ConfigError: a device that is not there, a backend that is not installed or cannot take
                the networks, a precision the device or a network cannot do, a tile that is not
                larger than the overlap, a batch size below 1, an ensemble or a scale that there is
                not.
        """
        self.converts = converter is not None
        self.device = find_device(device)
        chain = Chain([deblurrer] if converter is None else [converter, deblurrer]).eval()
        self.size_rule = chain.size_rule
        self.overlap_px, self.batch_size = overlap_px, batch_size
        if tile_px is not None:
            self._check_tile(tile_px)
        if batch_size < 1:
            raise ConfigError(f"batch {batch_size}: at least one tile must be processed at once")
        engine = backends.build(chain, self.device, backend=backend, precision=precision)
        self.backend, self.precision, self._run = engine.backend, engine.precision, engine.restore
        least_px = 2 * self.size_rule.padded(overlap_px, overlap_px)[0]
        self.tile_px = max(engine.tile_px, least_px) if tile_px is None else tile_px
        self._check_tile(self.tile_px)
        if ensemble not in get_args(Ensemble):
            raise ConfigError(f"ensemble '{ensemble}': choose {' or '.join(get_args(Ensemble))}")
        self.ensemble: Ensemble = ensemble
        self._factor = factor_of(scale)
        self._extent = (
            zoo.load_blur_extent(zoo.DEFAULT_BLUR_EXTENT).to(self.device)
            if self._factor is None
            else None
        )

    @classmethod
    def from_files(
        cls,
        converter: str | Path | None = None,
        deblurrer: str | Path = zoo.DEFAULT_DEBLURRER,
        *,
        device: str = "auto",
        backend: Backend = "auto",
        precision: Precision = "auto",
        tile_px: int | None = None,
        overlap_px: int = DEFAULT_OVERLAP_PX,
        batch_size: int = 1,
        ensemble: Ensemble = "none",
        scale: Scale = "1",
    ) -> "Pipeline":
        """Build a pipeline from weight files.

        Args:
            converter: a shipped name, a file of `blur2blur train converter`, or what `blur2blur
                export` made of one (.onnx or .xml); None for none.
            deblurrer: a shipped name, a file of `blur2blur train deblurrer`, an exported one, or a
                file of another project (extra `zoo`).
            device: as the constructor takes it.
            backend: likewise.
            precision: likewise.
            tile_px: likewise.
            overlap_px: likewise.
            batch_size: likewise.
            ensemble: likewise.
            scale: likewise.

        Raises:
            CheckpointError: a file that is missing, damaged, unsafe or of another kind; an unknown
                name.
            ConfigError: as the constructor; a file of another project without the extra.
        """
        if converter is not None:
            made = read.known_blur(str(converter), role="converter")
            undone = read.known_blur(str(deblurrer), role="deblurrer")
            if made and undone and made != undone:
                _log.warning(
                    "converter %s makes the known blur '%s', deblurrer %s undoes '%s': train one "
                    "of them with known.* of the other", converter, made, deblurrer, undone
                )  # fmt: skip
        return cls(
            read.load_network(str(deblurrer), role="deblurrer", alone=converter is None),
            None if converter is None else read.load_network(str(converter), role="converter"),
            device=device,
            backend=backend,
            precision=precision,
            tile_px=tile_px,
            overlap_px=overlap_px,
            batch_size=batch_size,
            ensemble=ensemble,
            scale=scale,
        )

    def __call__(
        self,
        image: Tensor,
        *,
        factor: int | None = None,
        out: Tensor | None = None,
        on_tile: Callable[[int, int], None] | None = None,
    ) -> Tensor:
        """Return the deblurred image.

        Args:
            image: 3 H W or B 3 H W, float, sRGB in [0, 1], any size, any device.
            factor: what its sides are divided by while it is deblurred; None for what the
                pipeline's scale says.
            out: where to write it, shaped like `image`; may be `image`, which saves the memory of
                one. None for a new tensor.
            on_tile: told (tiles done, tiles in all) as the work goes on.

        Returns:
            Shape, type and device of `image`, clamped to [0, 1].

        Raises:
            InputError: another shape, type or range; an image too small for the scale; too little
                memory for the smallest tile.
            CheckpointError: a network returned another size or values that are not finite.
        """
        return self._process(image, keep_converted=False, factor=factor, out=out, on_tile=on_tile)

    def run(self, image: Tensor, *, on_tile: Callable[[int, int], None] | None = None) -> Result:
        """Return the deblurred and the converted image; arguments and errors as in a call."""
        merged = self._process(
            image, keep_converted=self.converts, factor=None, out=None, on_tile=on_tile
        )
        if not self.converts:
            return Result(deblurred=merged, converted=None)
        converted, deblurred = merged.split(3, dim=-3)
        return Result(deblurred=deblurred, converted=converted)

    def choose_factor(self, image: Tensor) -> int:
        """Return what the sides of an image (3 H W) are divided by while it is deblurred."""
        if self._extent is None:
            assert self._factor is not None
            return self._factor
        extent_px = estimate_px(self._extent, image.to(self.device))
        height, width = image.shape[-2:]
        return working_scale.choose(extent_px, height, width, self.size_rule)

    def _process(
        self,
        image: Tensor,
        *,
        keep_converted: bool,
        factor: int | None,
        out: Tensor | None,
        on_tile: Callable[[int, int], None] | None,
    ) -> Tensor:
        _check_image(image)
        batch = _batched(image.detach())
        factors = [factor or self.choose_factor(each) for each in batch]
        process = partial(self._process_tiles, keep_converted=keep_converted, on_tile=on_tile)
        target = None if out is None else _batched(out)
        first_tile_px = self.tile_px
        if len(set(factors)) == 1:
            merged = self._process_at(batch, factors[0], process, out=target)
        else:
            targets = [None] * len(batch) if target is None else target.split(1)
            each = zip(batch.split(1), factors, targets, strict=True)
            merged = torch.cat([self._process_at(one, by, process, out=to) for one, by, to in each])
        if self.tile_px != first_tile_px:
            _log.warning(
                "%s ran out of memory with tiles of %d pixels; went on with %d",
                self.device,
                first_tile_px,
                self.tile_px,
            )
        return merged if image.ndim == 4 else merged[0]

    def _process_at(
        self, batch: Tensor, factor: int, process: Callable[..., Tensor], *, out: Tensor | None
    ) -> Tensor:
        if factor == 1:
            return process(batch, out=out)
        height, width = batch.shape[-2:]
        working_scale.check_fits(height, width, factor, self.size_rule)
        return working_scale.at_scale(batch, factor, process, out=out)

    def _process_tiles(
        self,
        batch: Tensor,
        *,
        keep_converted: bool,
        on_tile: Callable[[int, int], None] | None,
        out: Tensor | None = None,
    ) -> Tensor:
        restore: Callable[[Tensor], Tensor] = partial(self._restore, keep_converted=keep_converted)
        if self.ensemble == "x8":
            restore = of_eight(restore, self.size_rule)
        return tiling.process_tiles(
            batch,
            partial(self._restore_in_memory, restore=restore),
            tile_px=self.tile_px,
            overlap_px=self.overlap_px,
            align=self.size_rule.multiple,
            batch_size=self.batch_size,
            out=out,
            on_tile=on_tile,
        )

    def _restore_in_memory(self, tiles: Tensor, *, restore: Callable[[Tensor], Tensor]) -> Tensor:
        """Do as `restore` does, in smaller tiles where memory does not suffice for these."""
        while True:
            try:
                if max(tiles.shape[-2:]) <= self.tile_px:
                    return restore(tiles)
                return tiling.process_tiles(
                    tiles,
                    restore,
                    tile_px=self.tile_px,
                    overlap_px=self.overlap_px,
                    align=self.size_rule.multiple,
                )
            except Exception as error:  # each runtime has its own
                if not backends.is_out_of_memory(error):
                    raise
            # outside the handler: its traceback would keep the tensors of the failed tile alive
            self._halve_tile()

    @torch.inference_mode()
    def _restore(self, tiles: Tensor, *, keep_converted: bool) -> Tensor:
        """Map N 3 h w to N 3 h w, or to N 6 h w: converted, deblurred."""
        height, width = tiles.shape[-2:]
        images = self._run(pad_to_rule(tiles.float(), self.size_rule))
        result = torch.cat(images, dim=1) if keep_converted else images[-1]
        result = result[..., :height, :width]
        # of clamped values: only NaN is not finite, and a sum needs no memory for each
        if not torch.isfinite(result.sum()):
            raise CheckpointError(
                f"the network returned values that are not finite in {self.precision}; use "
                "precision fp32, or other weights if it is that already"
            )
        return result

    def _check_tile(self, tile_px: int) -> None:
        """Raise ConfigError where a tile is not larger than the overlap."""
        align = self.size_rule.multiple
        tiling.plan_axis(1, tile_px=tile_px, overlap_px=self.overlap_px, align=align)

    def _halve_tile(self) -> None:
        smaller = self.tile_px // 2
        try:
            self._check_tile(smaller)
        except ConfigError as error:
            raise InputError(
                f"{self.device} has too little memory even for tiles of {self.tile_px} pixels; use "
                "a smaller overlap, or another device"
            ) from error
        self.tile_px = smaller
        if self.device.type == "cuda":
            torch.cuda.empty_cache()


def _batched(image: Tensor) -> Tensor:
    return image if image.ndim == 4 else image[None]


def _check_image(image: Tensor) -> None:
    shape = tuple(image.shape)
    if image.ndim not in (3, 4) or shape[-3] != 3 or 0 in shape or not image.is_floating_point():
        raise InputError(
            f"an image is float 3 H W or B 3 H W with values in [0, 1], not {image.dtype} {shape}"
        )
    least, most = (float(value) for value in image.aminmax())
    if not (least >= -_RANGE_TOLERANCE and most <= 1 + _RANGE_TOLERANCE):
        raise InputError(f"an image has values in [0, 1], not from {least:g} to {most:g}")
