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

    def scaled(self, factor: Tensor) -> "Motion":
        """Return the motions made larger or smaller by B factors."""
        return Motion(
            path_px=self.path_px * factor[:, None, None],
            roll=self.roll * factor[:, None],
            zoom=1 + (self.zoom - 1) * factor[:, None],
            pan=self.pan * factor[:, None, None],
        )

    def resampled(self, count: int) -> "Motion":
        """Return the motion at `count` middles of equal spans of time."""
        return Motion(
            path_px=trajectories.resample(self.path_px, count),
            roll=trajectories.resample(self.roll, count),
            zoom=trajectories.resample(self.zoom, count),
            pan=trajectories.resample(self.pan, count),
        )


def homographies(motion: Motion, focal_px: Tensor) -> Tensor:
    """Return B x T x 3 x 3 maps of sharp to moved positions, (x, y) from the photograph's centre.

    `focal_px` are B focal lengths in pixels.
    """
    cos, sin = motion.roll.cos() * motion.zoom, motion.roll.sin() * motion.zoom
    zero, one = torch.zeros_like(cos), torch.ones_like(cos)
    x, y = motion.path_px.unbind(dim=-1)
    similarity = _matrices((cos, -sin, x), (sin, cos, y), (zero, zero, one))
    yaw, pitch = motion.pan.unbind(dim=-1)
    cos, sin = yaw.cos(), yaw.sin()
    turn_x = _matrices((cos, zero, sin), (zero, one, zero), (-sin, zero, cos))
    cos, sin = pitch.cos(), pitch.sin()
    turn_y = _matrices((one, zero, zero), (zero, cos, sin), (zero, -sin, cos))
    camera = torch.stack((focal_px, focal_px, torch.ones_like(focal_px)), dim=-1)[:, None].to(x)
    return similarity @ (camera[..., None] * (turn_y @ turn_x) / camera[..., None, :])


def _matrices(*rows: tuple[Tensor, Tensor, Tensor]) -> Tensor:
    return torch.stack([torch.stack(row, dim=-1) for row in rows], dim=-2)


def frame_count(motion: Motion, height: int, width: int, focal_px: Tensor) -> int:
    """Return how many instants keep every corner's steps below FRAME_SPACING_PX on average."""
    paths = point_paths(motion, grid_points(2, height, width), focal_px)
    return max(1, math.ceil(trajectories.longest(paths.flatten(0, 1)) / FRAME_SPACING_PX))


def average_frames(image_linear: Tensor, motion: Motion, focal_px: Tensor) -> Tensor:
    """Return the mean of the image seen at every moment of the motion.

    Args:
        image_linear: B x C x H x W in linear light.
        motion: of the same B; take enough moments (`frame_count`).
        focal_px: B focal lengths in pixels, for the perspective of a pan.

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
    padding = "reflection" if min(height, width) > 1 else "border"
    total = torch.zeros_like(image_linear)
    for i in range(inverse.shape[1]):
        per_x, per_y, constant = (term[:, i, None, None] for term in (of_x, of_y, shift))
        moved = x * per_x + (y * per_y + constant)
        grid = moved[..., :2] / moved[..., 2:]
        total = total + F.grid_sample(image_linear, grid, padding_mode=padding, align_corners=True)
    return total / inverse.shape[1]


def point_paths(motion: Motion, points_px: Tensor, focal_px: Tensor) -> Tensor:
    """Return B x P x T x 2 displacements in pixels of P points.

    Args:
        motion: of B cameras.
        points_px: P x 2 or B x P x 2 positions (x, y) from the photograph's centre.
        focal_px: B focal lengths in pixels.
    """
    points_px = points_px.to(motion.roll).expand(len(motion.roll), -1, 2)
    points = torch.cat((points_px, torch.ones_like(points_px[..., :1])), dim=-1)
    moved = torch.einsum("btij,bpj->bpti", homographies(motion, focal_px), points)
    return moved[..., :2] / moved[..., 2:] - points_px[:, :, None]


def local_kernels(motion: Motion, points_px: Tensor, focal_px: Tensor) -> Tensor:
    """Return B x P x K x K kernels at P points; arguments as in `point_paths`."""
    paths = point_paths(motion, points_px, focal_px)
    kernel = path_kernels(paths.flatten(0, 1))
    return kernel.reshape(*paths.shape[:2], *kernel.shape[-2:])


def path_kernels(path_px: Tensor, size: int | None = None) -> Tensor:
    """Return B paths (B x T x 2) as kernel_B1KK; `size` as in `kernels.rasterise`."""
    instants = max(1, math.ceil(trajectories.longest(path_px) / KERNEL_SPACING_PX))
    return kernels.rasterise(trajectories.resample(path_px, instants), size)


def grid_points(grid: int, height: int, width: int) -> Tensor:
    """Return grid * grid x 2 positions (x, y) from an image's centre, row by row.

    They lie as corners of equal cells do; one point is the middle.
    """
    steps = torch.linspace(-0.5, 0.5, grid) if grid > 1 else torch.zeros(1)
    y, x = torch.meshgrid(steps * height, steps * width, indexing="ij")
    return torch.stack((x, y), dim=-1).reshape(-1, 2)


def cell_middles(grid: int, height: int, width: int) -> Tensor:
    """Return grid * grid x 2 positions (x, y) of the middles of equal cells, as `grid_points`."""
    return grid_points(grid, height, width) * max(1, grid - 1) / grid
