"""Between a file's own colours and sRGB, which the networks know.

The way back lays the change over the file's own numbers. So what was not changed keeps its value,
colours outside sRGB too.
"""

import io
from dataclasses import replace
from functools import lru_cache
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

from blur2blur.images import icc
from blur2blur.images.raster import BAND_ROWS, Photograph

Pixels = NDArray[np.float32]

_LOOKUP = np.linspace(0, 1, 65536)
_NEARLY_SRGB = 1 / 512


class ColourSpace(Protocol):
    """A way to sRGB and back: `H W 3` or `H W 1` in [0, 1], to the same."""

    def to_srgb(self, values: Pixels) -> Pixels:
        """Return sRGB; what lies outside it is clipped."""
        ...

    def from_srgb(self, values: Pixels) -> Pixels:
        """Return the file's own numbers; what lies outside of them is clipped."""
        ...


def fitting_profile(icc_profile: bytes | None, *, grey: bool) -> bytes | None:
    """Return the ICC profile unless it is made for other channels (CMYK, or grey for colour)."""
    wanted = b"GRAY" if grey else b"RGB "
    return icc_profile if icc_profile and icc_profile[16:20] == wanted else None


@lru_cache(maxsize=8)
def colour_space(icc_profile: bytes | None) -> ColourSpace | None:
    """Return the colour space of a profile; None for sRGB, and where the profile is of no use."""
    if icc_profile is None:
        return None
    profile = icc.read_profile(icc_profile)
    if profile is None:
        return _TableSpace.of(icc_profile)
    return None if _is_nearly_srgb(profile) else _MatrixSpace(profile)


def _is_nearly_srgb(profile: icc.MatrixProfile) -> bool:
    values = np.linspace(0, 1, 65)
    curves = all(
        np.abs(icc.SRGB_CURVE.encode(curve.decode(values)) - values).max() < _NEARLY_SRGB
        for curve in profile.curves
    )
    return curves and (
        profile.to_xyz is None or bool(np.abs(profile.to_xyz - icc.SRGB_TO_XYZ).max() < 2e-3)
    )


class _MatrixSpace:
    """Of formulas, at any depth. Values are looked up in tables of 16 bits, as files hold them."""

    def __init__(self, profile: icc.MatrixProfile) -> None:
        self._curves = profile.curves
        self._lookups = [curve.decode(_LOOKUP).astype(np.float32) for curve in profile.curves]
        matrix = np.eye(3) if profile.to_xyz is None else profile.to_xyz
        to_srgb = np.eye(3) if profile.to_xyz is None else np.linalg.solve(icc.SRGB_TO_XYZ, matrix)
        self._to_srgb = to_srgb.astype(np.float32)
        self._from_srgb = np.linalg.inv(to_srgb).astype(np.float32)

    def to_srgb(self, values: Pixels) -> Pixels:
        light = np.empty_like(values)
        index = np.rint(values * 65535).astype(np.uint16)
        for channel in range(values.shape[2]):
            light[..., channel] = self._lookup(channel)[index[..., channel]]
        return icc.SRGB_CURVE.encode(light @ self._to_srgb.T).astype(np.float32)

    def from_srgb(self, values: Pixels) -> Pixels:
        light = icc.SRGB_CURVE.decode(values).astype(np.float32) @ self._from_srgb.T
        made = np.empty_like(values)
        for channel in range(values.shape[2]):
            curve = self._curves[channel % len(self._curves)]
            made[..., channel] = curve.encode(light[..., channel])
        return made

    def _lookup(self, channel: int) -> Pixels:
        return self._lookups[channel % len(self._lookups)]


class _TableSpace:
    """Of tables, by lcms2, which sees 8 bits of each value."""

    def __init__(self, forth: ImageCms.ImageCmsTransform, back: ImageCms.ImageCmsTransform) -> None:
        self._forth, self._back = forth, back

    @classmethod
    def of(cls, icc_profile: bytes) -> "_TableSpace | None":
        if icc_profile[16:20] != b"RGB ":
            return None
        srgb = ImageCms.createProfile("sRGB")
        try:
            own = ImageCms.ImageCmsProfile(io.BytesIO(icc_profile))
            intent = ImageCms.Intent.RELATIVE_COLORIMETRIC
            forth = ImageCms.buildTransform(own, srgb, "RGB", "RGB", intent)
            back = ImageCms.buildTransform(srgb, own, "RGB", "RGB", intent)
        except (ImageCms.PyCMSError, OSError):
            return None
        return cls(forth, back)

    def to_srgb(self, values: Pixels) -> Pixels:
        return _applied(self._forth, values)

    def from_srgb(self, values: Pixels) -> Pixels:
        return _applied(self._back, values)


def _applied(transform: ImageCms.ImageCmsTransform, values: Pixels) -> Pixels:
    image = Image.fromarray(np.rint(values * 255).astype(np.uint8))
    ImageCms.applyTransform(image, transform, inPlace=True)
    return np.asarray(image, np.float32) / np.float32(255)


def working_pixels(photograph: Photograph) -> Pixels:
    """Return what the networks are to see: float32 `H W 3`, sRGB in [0, 1].

    Fully transparent ground holds any colour; it is filled from its edge. Where neither that nor a
    profile changes anything these are the photograph's own pixels, not a copy.
    """
    space = colour_space(photograph.icc_profile)
    pixels = photograph.pixels if space is None else _converted(space, photograph.pixels)
    if photograph.alpha is None:
        return pixels
    return filled_from_edge(pixels, photograph.alpha[..., 0] > 0)


def with_result(photograph: Photograph, result: Pixels) -> Photograph:
    """Return the photograph with the networks' result for its `working_pixels`.

    Args:
        photograph: as it was read.
        result: float32 `H W 3`, sRGB in [0, 1].

    Returns:
        The change, in the file's own colours, added to its numbers; none where it is transparent.
    """
    space = colour_space(photograph.icc_profile)
    if space is None and photograph.alpha is None:
        return replace(photograph, pixels=result)
    made = np.empty_like(photograph.pixels)
    for top in range(0, len(made), BAND_ROWS):
        rows = slice(top, top + BAND_ROWS)
        own, after = photograph.pixels[rows], result[rows]
        if space is not None:
            change = space.from_srgb(after) - space.from_srgb(space.to_srgb(own))
            after = np.clip(own + change, 0, 1, dtype=np.float32)
        if photograph.alpha is not None:
            after = np.where(photograph.alpha[rows] > 0, after, own)
        made[rows] = after
    return replace(photograph, pixels=made)


def _converted(space: ColourSpace, pixels: Pixels) -> Pixels:
    made = np.empty_like(pixels)
    for top in range(0, len(pixels), BAND_ROWS):
        made[top : top + BAND_ROWS] = space.to_srgb(pixels[top : top + BAND_ROWS])
    return made


def filled_from_edge(pixels: Pixels, seen: NDArray[np.bool_]) -> Pixels:
    """Return pixels (`H W C`) of which those not `seen` (`H W`) have the colour of what is near.

    They take it from ever smaller copies, which hold the means of what is seen (Gortler et al.,
    "The Lumigraph", SIGGRAPH 1996, push-pull).
    """
    if seen.all() or not seen.any():
        return pixels
    height, width, channels = pixels.shape
    padding = ((0, height % 2), (0, width % 2))
    weights = np.pad(seen, padding).astype(np.float32)[..., None]
    weighted = np.pad(pixels, (*padding, (0, 0))) * weights
    shape = (weights.shape[0] // 2, 2, weights.shape[1] // 2, 2)
    counts = weights.reshape(*shape, 1).sum(axis=(1, 3))
    means = weighted.reshape(*shape, channels).sum(axis=(1, 3)) / np.maximum(counts, 1)
    smaller = filled_from_edge(means, counts[..., 0] > 0)
    larger = smaller.repeat(2, axis=0).repeat(2, axis=1)[:height, :width]
    return np.where(seen[..., None], pixels, larger)


def rgb_uint8(values: NDArray[np.uint8], icc_profile: bytes | None) -> NDArray[np.uint8]:
    """Return uint8 `H W 3`, or `H W 1` of grey, as sRGB `H W 3`; by lcms2, quick at 8 bits."""
    grey = values.shape[2] == 1
    if colour_space(icc_profile) is None:
        return values.repeat(3, axis=2) if grey else values
    return _srgb_image(Image.fromarray(values[..., 0] if grey else values), icc_profile)


def _srgb_image(image: Image.Image, icc_profile: bytes | None) -> NDArray[np.uint8]:
    assert icc_profile is not None
    profile = ImageCms.ImageCmsProfile(io.BytesIO(icc_profile))
    converted = ImageCms.profileToProfile(
        image,
        profile,
        ImageCms.createProfile("sRGB"),
        renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
        outputMode="RGB",
    )
    assert converted is not None
    return np.asarray(converted)


def srgb_of(image: Image.Image, icc_profile: bytes | None) -> NDArray[np.uint8]:
    """Return a CMYK or Lab image as sRGB, uint8 `H W 3`: by its profile, else by formula.

    A profile that lcms2 refuses counts as none.
    """
    if image.mode == "LAB":
        lab = ImageCms.createProfile("LAB")
        icc_profile = ImageCms.ImageCmsProfile(lab).tobytes()
    if icc_profile and icc_profile[16:20] in (b"CMYK", b"Lab "):
        try:
            return _srgb_image(image, icc_profile)
        except (ImageCms.PyCMSError, OSError):
            pass
    return np.asarray(image.convert("RGB"))
