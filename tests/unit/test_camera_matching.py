"""Simulated cameras are kept by what their photographs look like, whatever those show."""

import skimage.data
import torch
import torch.nn.functional as F

from blur2blur.blur import CameraSettings
from blur2blur.training.simulation.camera_matching import features, narrowed, nearest

# noise and width of a box blur in pixels; the second one is the camera that is looked for
CAMERAS = [(0.0, 5), (0.02, 5), (0.02, 1), (0.06, 5), (0.06, 1), (0.02, 9)]


def crops(name: str, noise: float, blur_px: int) -> torch.Tensor:
    """Return 24 crops of a photograph that `skimage.data` has, blurred and noisy."""
    pixels = getattr(skimage.data, name)()
    image = torch.from_numpy(pixels.copy()).permute(2, 0, 1).float() / 255
    corners = torch.randint(0, min(image.shape[1:]) - 96, (24, 2)).tolist()
    sharp = torch.stack([image[:, top : top + 96, left : left + 96] for top, left in corners])
    blurred = F.avg_pool2d(sharp, blur_px, 1, blur_px // 2, count_include_pad=False)
    return (blurred + noise * torch.randn_like(blurred)).clamp(0, 1)


def test_noise_and_blur_of_the_camera_are_recognised_on_other_scenes():
    camera = features(crops("astronaut", *CAMERAS[1]))
    simulated = [features(crops("coffee", *each)) for each in CAMERAS]
    assert nearest(camera, simulated, 3)[0] == 1


def test_where_nothing_looks_like_the_camera_the_noisiest_is_nearest_to_a_noisier_one():
    camera = features(crops("astronaut", 0.2, 1))
    simulated = [features(crops("coffee", *each)) for each in CAMERAS]
    assert nearest(camera, simulated, 1) == [4]


def test_a_flat_image_has_finite_features():
    assert torch.isfinite(features(torch.full((1, 3, 64, 64), 0.5))).all()


def test_a_narrowed_camera_is_one_of_those_that_the_ranges_describe():
    ranges = {
        "shake": {"length_px": (2, 20), "wander": (0.5, 2)},
        "lens": {"defocus_px": (0, 2), "softness_px": (0.1, 0.2)},
        "noise": {"shot": (0, 0.01), "read": (0.001, 0.002), "smoothing": (0, 0.1)},
        "tone": {"gamma": (0.8, 1.2), "contrast": (0, 0.5)},
        "jpeg": {"quality": (40, 90)},
        "exposure_stops": (-1, 1),
    }
    family = CameraSettings.model_validate(ranges)
    rng = torch.Generator().manual_seed(0)
    made = [narrowed(family, rng) for _ in range(20)]
    for camera in made:
        assert camera.shake == family.shake
        for part, name in [
            ("lens", "defocus_px"), ("noise", "read"), ("noise", "smoothing"),
            ("tone", "gamma"), ("tone", "contrast"), ("jpeg", "quality"),
        ]:  # fmt: skip
            low, high = getattr(getattr(camera, part), name)
            assert low == high
            assert ranges[part][name][0] <= low <= ranges[part][name][1]
    assert len({camera.noise.shot for camera in made}) == 20
    assert narrowed(CameraSettings(), rng) == CameraSettings()


def test_the_noise_of_a_narrowed_camera_is_drawn_as_cameras_draw_theirs():
    family = CameraSettings.model_validate({"noise": {"shot": (1e-5, 1e-1)}})
    rng = torch.Generator().manual_seed(0)
    shots = [narrowed(family, rng).noise.shot[0] for _ in range(200)]
    assert 70 < sum(shot < 1e-3 for shot in shots) < 130  # uniform in its logarithm
