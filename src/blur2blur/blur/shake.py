"""Spatially varying blur: the average of the frames that a moving camera saw during the exposure.

Each instant of the exposure is a homography of the sharp image (rotation of the camera about its
three axes, zoom, translation); the blurred image is their mean in linear light. With bilinear
sampling a pure translation is exactly the convolution by the path's anti-aliased kernel.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from blur2blur.blur import kernels, trajectories
from blur2blur.blur.apply import Boundary

# neighbouring instants this far apart blend into a streak under bilinear sampling
FRAME_SPACING_PX = 0.75
KERNEL_SPACING_PX = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Motion:
    """How B cameras move during one exposure, at T moments uniform in time.

    The image shifts with perspective by pan, then turns by roll and grows by zoom about its centre,
    then moves by the path.
    """

    path_px: Tensor  # B x T x 2, translation (x, y) in pixels
    roll: Tensor  # B x T, rotation about the optical axis in radians, clockwise on screen
    zoom: Tensor  # B x T, magnification, 1 is none
    pan: Tensor  # B x T x 2, rotation that moves the centre by (x, y), in radians

    @property
    def varies(self) -> bool:
        """Whether the blur differs from place to place."""
        return bool(self.roll.any() or (self.zoom != 1).any() or self.pan.any())

    def resampled(self, count: int) -> "Motion":
        """Return the motion at `count` middles of equal spans of time."""
        return Motion(
            path_px=trajectories.resample(self.path_px, count),
            roll=trajectories.resample(self.roll, count),
            zoom=trajectories.resample(self.zoom, count),
            pan=trajectories.resample(self.pan, count),
        )


def homographies(motion: Motion, focal_px: float) -> Tensor:
    """Return B x T x 3 x 3 maps of sharp to moved positions, (x, y) from the image's centre."""
    cos, sin = motion.roll.cos() * motion.zoom, motion.roll.sin() * motion.zoom
    zero, one = torch.zeros_like(cos), torch.ones_like(cos)
    x, y = motion.path_px.unbind(dim=-1)
    similarity = _matrices((cos, -sin, x), (sin, cos, y), (zero, zero, one))
    yaw, pitch = motion.pan.unbind(dim=-1)
    cos, sin = yaw.cos(), yaw.sin()
    turn_x = _matrices((cos, zero, sin), (zero, one, zero), (-sin, zero, cos))
    cos, sin = pitch.cos(), pitch.sin()
    turn_y = _matrices((one, zero, zero), (zero, cos, sin), (zero, -sin, cos))
    camera = torch.tensor([focal_px, focal_px, 1.0], device=x.device)
    return similarity @ (camera[:, None] * (turn_y @ turn_x) / camera)


def _matrices(*rows: tuple[Tensor, Tensor, Tensor]) -> Tensor:
    return torch.stack([torch.stack(row, dim=-1) for row in rows], dim=-2)


def frame_count(motion: Motion, height: int, width: int, focal_px: float) -> int:
    """Return how many instants keep every corner's steps below FRAME_SPACING_PX on average."""
    paths = point_paths(motion, _corners(height, width), focal_px)
    return max(1, math.ceil(trajectories.longest(paths.flatten(0, 1)) / FRAME_SPACING_PX))


def average_frames(
    image_linear: Tensor, motion: Motion, focal_px: float, boundary: Boundary = "reflect"
) -> Tensor:
    """Return the mean of the image seen at every moment of the motion.

    Args:
        image_linear: B x C x H x W in linear light.
        motion: of the same B; take enough moments (`frame_count`).
        focal_px: focal length in pixels, for the perspective of a pan.
        boundary: "reflect" or "replicate".

    Returns:
        B x C x H x W in linear light.
    """
    height, width = image_linear.shape[-2:]
    inverse = torch.linalg.inv(homographies(motion, focal_px)).to(image_linear)
    # grid_sample's corners are -1 and 1; a side of one pixel has no extent
    unit = torch.tensor([2 / max(width - 1, 1), 2 / max(height - 1, 1), 1]).to(inverse)
    of_x, of_y, shift = (inverse * unit[:, None]).unbind(dim=-1)
    x = (torch.arange(width) - (width - 1) / 2).to(inverse)[:, None]
    y = (torch.arange(height) - (height - 1) / 2).to(inverse)[:, None, None]
    padding = "reflection" if boundary == "reflect" and min(height, width) > 1 else "border"
    total = torch.zeros_like(image_linear)
    for i in range(inverse.shape[1]):
        per_x, per_y, constant = (term[:, i, None, None] for term in (of_x, of_y, shift))
        moved = x * per_x + (y * per_y + constant)
        grid = moved[..., :2] / moved[..., 2:]
        total = total + F.grid_sample(image_linear, grid, padding_mode=padding, align_corners=True)
    return total / inverse.shape[1]


def point_paths(motion: Motion, points_px: Tensor, focal_px: float) -> Tensor:
    """Return B x P x T x 2 displacements in pixels of P points (P x 2, from the image's centre)."""
    ones = torch.ones_like(points_px[:, :1])
    points = torch.cat((points_px, ones), dim=-1).to(motion.roll)
    moved = torch.einsum("btij,pj->bpti", homographies(motion, focal_px), points)
    return moved[..., :2] / moved[..., 2:] - points[:, None, :2]


def local_kernels(motion: Motion, height: int, width: int, focal_px: float, grid: int) -> Tensor:
    """Return B x grid x grid x K x K kernels at the middles of a grid of cells over the image."""
    cells = (torch.arange(grid) + 0.5) / grid - 0.5
    y, x = torch.meshgrid(cells * height, cells * width, indexing="ij")
    paths = point_paths(motion, torch.stack((x, y), dim=-1).reshape(-1, 2), focal_px).flatten(0, 1)
    count = max(1, math.ceil(trajectories.longest(paths) / KERNEL_SPACING_PX))
    kernel = kernels.rasterise(trajectories.resample(paths, count))
    return kernel.reshape(-1, grid, grid, *kernel.shape[-2:])


def _corners(height: int, width: int) -> Tensor:
    half = torch.tensor([width / 2, height / 2])
    return half * torch.tensor([[-1.0, -1.0], [-1.0, 1.0], [1.0, -1.0], [1.0, 1.0]])
