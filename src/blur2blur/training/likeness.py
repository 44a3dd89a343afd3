"""How likely simulated photographs are to be a camera's own: which of them to rehearse on.

A classifier learns to tell crops of the camera's blurry photographs from simulated ones by what
blur, noise and compression leave in them; its odds are the ratio of their densities (M. Sugiyama,
T. Suzuki and T. Kanamori, "Density ratio estimation in machine learning", 2012, chapter 4), by
which simulated ones are drawn. Content is shared: the simulated ones show the camera's own sharp
photographs.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from blur2blur.pyramid import pyramid

_LEVELS = 4
_PATCH_PX = 16
_FLOOR = 1e-7
_QUIET = (0.1, 0.3)  # quantiles of patches: skies and walls, where noise and compression show
_RIDGE = 0.01
# Of crops that are compared, none is drawn more than e to this as often as another. It is the
# differences that are limited: where the camera's crops are told from all simulated ones without
# error, all odds are tiny, and still some are nearer to the camera's than others.
_MOST_LOG_ODDS_APART = 4.0


def features(images: Tensor) -> Tensor:
    """Return B x F features of B 3 H W sRGB images in [0,1], sides at least 64 pixels."""
    grey = images.mean(dim=1, keepdim=True)
    opponent = images[:, :1] - images[:, 2:]
    grid = (grey.shape[-2] // _PATCH_PX, grey.shape[-1] // _PATCH_PX)
    energies = torch.stack(
        [_log_energies(level, grid) for level in reversed(pyramid(grey, _LEVELS))], dim=1
    )
    steps = energies[:, :-1] - energies[:, 1:]  # B x levels - 1 x 2 directions x patches
    strength = energies[:, -1].mean(dim=1)
    busy = (strength >= strength.median(dim=1, keepdim=True).values).float()[:, None, None]
    slopes = (steps * busy).sum(dim=-1) / busy.sum(dim=-1)
    quantiles = torch.tensor(_QUIET, device=images.device)
    finest = [energies[:, 0].mean(dim=1), energies[:, 1].mean(dim=1)]
    finest.append(_log_energies(opponent, grid).mean(dim=1))
    quiet = [torch.quantile(each, quantiles, dim=1).T for each in finest]
    lopsided = (slopes[:, :, 0] - slopes[:, :, 1]).abs()
    brightness = (grey.mean(dim=(1, 2, 3)) + 0.01).log()[:, None]
    return torch.cat([slopes.mean(dim=2), lopsided, *quiet, brightness], dim=1)


def _log_energies(image: Tensor, grid: tuple[int, int]) -> Tensor:
    """Return B x 2 directions x patches."""
    right = (image[..., 1:, 1:] - image[..., 1:, :-1]).square()
    down = (image[..., 1:, 1:] - image[..., :-1, 1:]).square()
    energy = F.adaptive_avg_pool2d(torch.cat([right, down], dim=1), grid)
    return (energy + _FLOOR).log().flatten(2)


class Likeness:
    """The density ratio, a quadratic function of the features."""

    def __init__(self, camera: Tensor, simulated: Tensor) -> None:
        """Fit a logistic regression.

        Args:
            camera: B 3 H W sRGB in [0,1], crops of the camera's blurry photographs.
            simulated: B' 3 H W, simulated ones.
        """
        positive, negative = features(camera), features(simulated)
        both = torch.cat([positive, negative])
        self._mean, self._deviation = both.mean(dim=0), both.std(dim=0) + 1e-6
        terms = self._terms(both)
        labels = torch.cat([torch.ones(len(positive)), torch.zeros(len(negative))]).to(terms)
        weight = terms.new_zeros(terms.shape[1], requires_grad=True)
        optimiser = torch.optim.LBFGS([weight], max_iter=100, line_search_fn="strong_wolfe")

        def loss() -> float:
            optimiser.zero_grad()
            value = F.binary_cross_entropy_with_logits(terms @ weight, labels)
            value = value + _RIDGE * weight[:-1].square().sum()
            value.backward()
            return float(value.detach())

        optimiser.step(loss)
        self._weight = weight.detach()

    def _terms(self, described: Tensor) -> Tensor:
        scaled = ((described - self._mean) / self._deviation).clamp(-4, 4)
        return torch.cat([scaled, scaled.square(), torch.ones_like(scaled[:, :1])], dim=1)

    def odds(self, images: Tensor) -> Tensor:
        """Return B numbers in (0, 1]: how likely each is the camera's, the likeliest being 1."""
        logits = self._terms(features(images)) @ self._weight
        return (logits - logits.max()).clamp(min=-_MOST_LOG_ODDS_APART).exp()
