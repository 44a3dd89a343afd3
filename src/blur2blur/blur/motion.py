"""What moves during an exposure: the camera, and things before it."""

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from blur2blur.blur import kernels, shake, trajectories
from blur2blur.blur.camera_settings import CameraSettings
from blur2blur.blur.objects import Objects, draw_masks
from blur2blur.blur.ranges import either_way, spread, uniform
from blur2blur.blur.shake import Motion

# of a photograph that crops are part of: its diagonal at a working size, its sides in diagonals
_DIAGONAL_PX = (600, 2000)
_SIDES = (0.8, 0.6)
_OBJECT_WANDER = (0, 1.5)
_FOLLOWING = 0.5  # share of the things that the camera's own motion moves, too


@dataclass(frozen=True, slots=True, kw_only=True)
class Movement:
    """The motion of B cameras and of the things before them."""

    motion: Motion
    place_px: Tensor  # B x 2, (x, y) of the image's centre from that of the photograph
    focal_px: Tensor  # B
    objects: Objects | None
    extent_px: Tensor  # B, of the camera's motion, at the widest of the image's corners and middle
    reach_px: int  # how far light is carried, at most

    def inside(self, margin_px: int) -> "Movement":
        """Return the movement for the images less a margin on each side."""
        if self.objects is None or not margin_px:
            return self
        middle = slice(margin_px, -margin_px)
        masks = self.objects.masks[..., middle, middle]
        return replace(self, objects=replace(self.objects, masks=masks))

    def local_kernels(self, points_px: Tensor) -> Tensor:
        """Return B x P x K x K kernels at P x 2 points (x, y) from the image's centre."""
        points = points_px.to(self.place_px) + self.place_px[:, None]
        return shake.local_kernels(self.motion, points, self.focal_px)

    def compose(self, image: Tensor) -> Tensor:
        """Return the sharp image (B C H W) with the things that move in it."""
        return image if self.objects is None else self.objects.compose(image, image)


def reach_px(settings: CameraSettings) -> int:
    """Return how far the motion carries light; roll, zoom and pan only within `extent_px`."""
    if settings.extent_px is not None:
        return math.ceil(settings.extent_px[1])
    # a path of constant speed stays within half its length of its mean
    return math.ceil((settings.shake.length_px[1] + settings.linear.length_px[1]) / 2)


def spatial_reach_px(settings: CameraSettings) -> int:
    """Return how much farther roll, zoom and pan carry light where nothing limits their extent.

    At most, in the farthest corners of the photographs that crops are part of.
    """
    spatial = settings.spatial
    if settings.extent_px is not None or not spatial.varies:
        return 0
    corner_px, focal_px = _DIAGONAL_PX[1] / 2, spatial.focal_length * _DIAGONAL_PX[1]
    roll, pan = (math.radians(ends[1]) / 2 for ends in (spatial.roll_degrees, spatial.pan_degrees))
    zoom = max(map(abs, spatial.zoom_percent)) / 100 / 2
    away = 1 + (corner_px / focal_px) ** 2
    return math.ceil(corner_px * (roll + zoom) + focal_px * math.tan(pan) * away)


def draw(
    settings: CameraSettings,
    count: int,
    rng: torch.Generator,
    height: int,
    width: int,
    *,
    of_crops: bool,
) -> Movement:
    """Draw the movement of `count` photographs, or crops of photographs, of a size."""
    if of_crops:
        diagonal_px = uniform(_DIAGONAL_PX, count, rng)
        sides = torch.tensor(_SIDES, device=rng.device)
        somewhere = torch.rand(count, 2, generator=rng, device=rng.device) - 0.5
        place_px = diagonal_px[:, None] * sides * somewhere
    else:
        diagonal_px = torch.full((count,), math.hypot(height, width), device=rng.device)
        place_px = torch.zeros(count, 2, device=rng.device)
    focal_px = settings.spatial.focal_length * diagonal_px
    motion = _draw_motion(settings, count, rng)
    points = shake.grid_points(3, height, width).to(place_px) + place_px[:, None]
    if settings.extent_px is not None or settings.still:
        paths = shake.point_paths(motion, points, focal_px)
        motion = motion.scaled(_scale(settings, paths, rng))
    paths = shake.point_paths(motion, points, focal_px)
    movement = Movement(
        motion=motion,
        place_px=place_px,
        focal_px=focal_px,
        objects=None,
        extent_px=_widest(paths),
        reach_px=math.ceil(float(paths.abs().max())),
    )
    return _with_objects(settings, movement, rng, height, width)


def _draw_motion(settings: CameraSettings, count: int, rng: torch.Generator) -> Motion:
    path = trajectories.shake_paths(
        uniform(settings.shake.length_px, count, rng),
        uniform(settings.shake.wander, count, rng),
        uniform(settings.shake.pull, count, rng),
        settings.shake.jerks,
        rng,
    )
    path = path + kernels.linear_path(
        uniform(settings.linear.length_px, count, rng),
        uniform(settings.linear.angle_degrees, count, rng),
        trajectories.STEPS,
    )
    spatial = settings.spatial
    time = torch.linspace(-0.5, 0.5, trajectories.STEPS + 1, device=rng.device)
    roll = torch.deg2rad(either_way(spatial.roll_degrees, count, rng))
    zoom = uniform(spatial.zoom_percent, count, rng) / 100
    pan = torch.deg2rad(either_way(spatial.pan_degrees, count, rng))
    if spatial.share < 1:
        varies = torch.rand(count, generator=rng, device=rng.device) < spatial.share
        roll, zoom, pan = roll * varies, zoom * varies, pan * varies
    yaw = pan[:, None] * time
    return Motion(
        path_px=path,
        roll=roll[:, None] * time,
        zoom=1 + zoom[:, None] * time,
        pan=torch.stack((yaw, torch.zeros_like(yaw)), dim=-1),
    )


def _scale(settings: CameraSettings, paths_px: Tensor, rng: torch.Generator) -> Tensor:
    """Return the B factors by which motions get an extent that is drawn, or none at all.

    The paths are B x P x T x 2.
    """
    count = len(paths_px)
    factor = torch.ones(count, device=rng.device)
    if settings.extent_px is not None:
        wanted = spread(settings.extent_px, count, rng)
        widest, reach = _widest(paths_px), paths_px.abs().amax(dim=(1, 2, 3))
        # what is outside the extent must not be carried out of a crop's margin
        factor = torch.minimum(
            wanted / widest.clamp(min=1e-3), settings.extent_px[1] / reach.clamp(min=1e-3)
        )
    moves = torch.rand(count, generator=rng, device=rng.device) >= settings.still
    return factor * moves


def _widest(paths_px: Tensor) -> Tensor:
    """Return the extent of the widest of each B x P x T x 2 paths: B."""
    return trajectories.extents(paths_px.flatten(0, 1)).unflatten(0, paths_px.shape[:2]).amax(dim=1)


def _with_objects(
    settings: CameraSettings,
    movement: Movement,
    rng: torch.Generator,
    height: int,
    width: int,
) -> Movement:
    count, most = len(movement.place_px), settings.objects.most
    some = torch.rand(count, generator=rng, device=rng.device) < settings.objects.share
    if not some.any():
        return movement
    number = 1 + torch.randint(most, (count,), generator=rng, device=rng.device)
    number = number * some
    most = int(number.max())
    masks = draw_masks(count * most, height, width, rng).unflatten(0, (count, most))
    present = torch.arange(most, device=number.device) < number[:, None]
    drawn = count * most
    own = trajectories.shake_paths(
        torch.ones(drawn, device=number.device),
        uniform(_OBJECT_WANDER, drawn, rng),
        torch.zeros(drawn, device=number.device),
        0,
        rng,
    )
    limit_px = float(reach_px(settings))
    lengths = spread(settings.extent_px or (1, max(1, limit_px)), drawn, rng)
    centre = torch.zeros(1, 2, device=number.device) + movement.place_px[:, None]
    camera = shake.point_paths(movement.motion, centre, movement.focal_px)
    follows = torch.rand(drawn, generator=rng, device=rng.device) < _FOLLOWING
    paths = own * lengths[:, None, None]
    paths = paths + camera.repeat_interleave(most, dim=0)[:, 0] * follows[:, None, None]
    paths = trajectories.centred(paths)
    reach = paths.abs().amax(dim=(1, 2)).clamp(min=limit_px)
    paths = paths * (limit_px / reach)[:, None, None]
    objects = Objects(
        masks=masks * present[..., None, None, None],
        paths_px=paths.unflatten(0, (count, most)),
        mirrored=torch.rand(count, most, generator=rng, device=rng.device) < 0.5,
    )
    farthest = math.ceil(float(paths.abs().max()))
    return replace(movement, objects=objects, reach_px=max(movement.reach_px, farthest))
