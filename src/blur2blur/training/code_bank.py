"""The blurs of many pairs as codes: read once, kept on disk, drawn in every training step.

Reading a code costs as much as laying it over an image, and decoding the pair more than both; the
pairs do not change during a run, nor from one run to the next.
"""

import hashlib
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path

import torch
from safetensors.torch import load, save
from torch import Tensor

from blur2blur import cache
from blur2blur.blur.transfer import Code, check_pair, draw_code, fit_code, read_code
from blur2blur.data.samples.decoding import DecodedImages
from blur2blur.errors import InputError
from blur2blur.files import explained_writing
from blur2blur.networks import pad_to_rule
from blur2blur.training.task import as_float, channels_last
from blur2blur.weights import loading, zoo


class CodeBank:
    """Lays the blurs of pairs over other images, with a frozen kernel extractor."""

    def __init__(
        self,
        extractor: str,
        pairs: Mapping[str, Sequence[Path]],
        device: torch.device,
        *,
        shrink: int = 1,
    ) -> None:
        """Read the codes of `pairs`, or what an earlier run kept of them.

        Args:
            extractor: weight file of a kernel extractor.
            pairs: `known_blurry` and `known_sharp`.
            device: where `blur` is called.
            shrink: the pairs are averaged down by this factor.

        Raises:
            CheckpointError: the kernel extractor cannot be loaded.
            InputError: a pair that cannot be read, of two sizes, or too small for the extractor.
        """
        self._device = device
        self._network = loading.load_kernel_extractor(extractor).requires_grad_(False).to(device)
        channels_last(self._network)
        blurry, sharp = pairs["known_blurry"], pairs["known_sharp"]
        weights = zoo.resolve(extractor, role="kernel")

        def make(path: Path) -> None:
            decoded = (DecodedImages(paths, shrink=shrink) for paths in (blurry, sharp))
            _write(path, self._read(*decoded))

        digest = _digest(weights, blurry, sharp, shrink)
        with cache.cached_file("codes", digest, "codes.safetensors", make) as path:
            self._codes = _load(path, len(blurry))

    @torch.no_grad()
    def blur(self, sharp: Tensor, rng: torch.Generator) -> Tensor:
        """Lay the blur of a random pair, as it is somewhere in that pair, over each image.

        Args:
            sharp: B 3 H W, sRGB in [0, 1].
            rng: draws the pair and the place, and with a VAE the code around the pair's.

        Returns:
            B 3 H W, sRGB in [0, 1].
        """
        height, width = sharp.shape[-2:]
        padded = pad_to_rule(sharp, self._network.size_rule)
        stride = self._network.size_rule.multiple
        size = padded.shape[-2] // stride, padded.shape[-1] // stride
        codes = torch.stack([self._draw(*size, rng) for _ in sharp])
        # half precision suffices: the network's output is a residual, rounded to 8 bits later
        with torch.autocast(self._device.type, torch.bfloat16):
            blurred = self._network.adapt(padded, codes.to(self._device))
        return blurred[..., :height, :width].float().clamp(0, 1)

    def _draw(self, height: int, width: int, rng: torch.Generator) -> Tensor:
        code = self._codes[int(torch.randint(len(self._codes), (), generator=rng))]
        drawn = draw_code(
            code.mean.float(),
            None if code.deviation is None else code.deviation.float(),
            rng,
        )
        for dim, wanted in ((1, height), (2, width)):
            room = drawn.shape[dim] - wanted
            if room > 0:
                first = int(torch.randint(room + 1, (), generator=rng))
                drawn = drawn.narrow(dim, first, wanted)
        return fit_code(drawn, height, width)

    def _read(self, blurry: DecodedImages, sharp: DecodedImages) -> list[Code]:
        codes: list[Code] = []
        for index, path in enumerate(blurry.paths):
            images = [_image(decoded, index) for decoded in (sharp, blurry)]
            try:
                check_pair(images[0], images[1], self._network)
            except InputError as error:
                raise InputError(f"{path} and {sharp.paths[index]}: {error}") from error
            with torch.autocast(self._device.type, torch.bfloat16):
                code = read_code(images[0], images[1], self._network)
            codes.append(code)
        return [
            Code(
                mean=code.mean.half().cpu(),
                deviation=None if code.deviation is None else code.deviation.half().cpu(),
            )
            for code in codes
        ]


def _image(decoded: DecodedImages, index: int) -> Tensor:
    return as_float(torch.from_numpy(decoded[index]).permute(2, 0, 1)[None])[0]


def _digest(weights: Path, blurry: Sequence[Path], sharp: Sequence[Path], shrink: int) -> str:
    """Return a hash of all that codes depend on: weights, photographs, their reduction."""
    told = hashlib.sha256(f"{version('blur2blur')} {shrink}".encode())
    with ThreadPoolExecutor() as pool:
        for digest in pool.map(cache.sha256, (weights, *blurry, *sharp)):
            told.update(digest.encode())
    return told.hexdigest()


def _load(path: Path, count: int) -> list[Code]:
    kept = load(path.read_bytes())
    return [
        Code(mean=kept[f"{index}.mean"], deviation=kept.get(f"{index}.deviation"))
        for index in range(count)
    ]


def _write(path: Path, codes: Sequence[Code]) -> None:
    tensors = {f"{index}.mean": code.mean for index, code in enumerate(codes)}
    for index, code in enumerate(codes):
        if code.deviation is not None:
            tensors[f"{index}.deviation"] = code.deviation
    data = save({name: tensor.contiguous() for name, tensor in tensors.items()})
    with explained_writing(path):
        path.write_bytes(data)
