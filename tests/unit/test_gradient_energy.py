import torch

from blur2blur.statistics.gradient_energy import log_gradient_energy


def test_a_slope_has_the_energy_of_its_steps():
    image = (2 * torch.arange(8.0) + 3 * torch.arange(6.0)[:, None])[None, None]
    for neighbours in ("before", "after"):
        found = log_gradient_energy(image, (2, 3), floor=0.0, neighbours=neighbours)
        wanted = torch.tensor([4.0, 9.0]).log()[None, :, None, None].expand(1, 2, 2, 3)
        torch.testing.assert_close(found, wanted)


def test_neighbours_before_are_those_after_of_the_image_turned_round():
    image = torch.rand(2, 1, 16, 24, generator=torch.Generator().manual_seed(0))
    before = log_gradient_energy(image, (2, 3), floor=1e-6)
    turned = log_gradient_energy(image.rot90(2, (2, 3)), (2, 3), floor=1e-6, neighbours="after")
    torch.testing.assert_close(before, turned.rot90(2, (2, 3)))
