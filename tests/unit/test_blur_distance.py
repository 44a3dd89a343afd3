"""The distance sees blur, grows with it, and hardly sees what is shown."""

import numpy as np
import pytest
import skimage.data
import torch
from torch import Tensor
from torchvision.transforms.v2.functional import gaussian_blur

from blur2blur.training.blur_distance import MINIMUM_PX, blur_descriptors, blur_distance

SIDE_PX = 128


def crops(name: str) -> Tensor:
    """Eight crops of a photograph, B 3 128 128, reduced by 2 so that they are sharp."""
    pixels = torch.from_numpy(np.atleast_3d(getattr(skimage.data, name)())[..., :3].copy())
    image = torch.nn.functional.avg_pool2d(pixels.permute(2, 0, 1)[None] / 255, 2)
    height, width = image.shape[-2:]
    tops = torch.linspace(0, height - SIDE_PX, 2).long().tolist()
    lefts = torch.linspace(0, width - SIDE_PX, 4).long().tolist()
    return torch.cat(
        [image[..., top : top + SIDE_PX, left : left + SIDE_PX] for top in tops for left in lefts]
    )


@pytest.fixture(scope="module")
def scenes() -> dict[str, Tensor]:
    names = ("astronaut", "coffee", "chelsea", "rocket")
    return {name: crops(name) for name in names}


def blurred(images: Tensor, sigma: float) -> Tensor:
    return gaussian_blur(images, [17, 17], [sigma, sigma])


def test_equal_sets_have_none_in_any_order(scenes: dict[str, Tensor]):
    first = scenes["astronaut"]
    assert blur_distance(first, first) == 0
    assert blur_distance(first, first.flip(0)) == pytest.approx(0, abs=1e-5)


def test_it_is_symmetric(scenes: dict[str, Tensor]):
    first, second = scenes["astronaut"], blurred(scenes["coffee"], 1.0)
    assert blur_distance(first, second) == pytest.approx(blur_distance(second, first))


@pytest.mark.parametrize("name", ["astronaut", "coffee", "chelsea"])
def test_it_grows_with_the_difference_in_blur(scenes: dict[str, Tensor], name: str):
    images = scenes[name]
    distances = [blur_distance(images, blurred(images, sigma)) for sigma in (0.4, 0.8, 1.5, 3.0)]
    assert distances == sorted(distances)
    assert distances[0] > 0.01
    assert distances[-1] > 4 * distances[0]


def test_the_direction_of_a_blur_counts(scenes: dict[str, Tensor]):
    images = scenes["coffee"]
    along = torch.nn.functional.avg_pool2d(images, (1, 7), 1, (0, 3))
    across = torch.nn.functional.avg_pool2d(images, (7, 1), 1, (3, 0))
    assert blur_distance(along, across) > 0.2 * blur_distance(images, along)


def test_content_hardly_counts(scenes: dict[str, Tensor]):
    """Another scene under the same blur is nearer than the same scene under another blur."""
    known = {name: blurred(images, 2.0) for name, images in scenes.items()}
    for name, images in scenes.items():
        others = torch.cat([known[other] for other in scenes if other != name])
        assert blur_distance(known[name], others) < 0.5 * blur_distance(images, others)


def test_brightness_and_contrast_hardly_count(scenes: dict[str, Tensor]):
    images = scenes["chelsea"]
    darker = blur_distance(images, 0.1 + 0.6 * images)
    assert darker < 0.1 * blur_distance(images, blurred(images, 1.5))


def test_it_ranks_a_better_imitation_of_a_blur_first(scenes: dict[str, Tensor]):
    """What it is for: choosing the converter whose results are blurred like the known set."""
    target = blurred(torch.cat([scenes["astronaut"], scenes["rocket"]]), 2.0)
    scores = {
        sigma: blur_distance(blurred(scenes["coffee"], sigma), target)
        for sigma in (0.5, 1.0, 2.0, 4.0)
    }
    assert min(scores, key=scores.__getitem__) == 2.0


def test_flat_images_have_finite_descriptors():
    flat = torch.full((1, 3, MINIMUM_PX, MINIMUM_PX), 0.5)
    assert torch.isfinite(blur_descriptors(flat)).all()
    assert blur_distance(flat, flat) == 0


def test_other_sizes_can_be_compared(scenes: dict[str, Tensor]):
    small = scenes["rocket"][..., :MINIMUM_PX, : MINIMUM_PX + 30]
    assert np.isfinite(blur_distance(small, scenes["rocket"]))
