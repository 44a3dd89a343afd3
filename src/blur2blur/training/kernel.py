"""Train a kernel extractor: a network that reads the blur of a pair and lays it over other images.

Tran et al., CVPR 2021, arXiv 2104.00317, section 3.2: a pair's blurry image is made again from its
sharp one and the code of the pair. Nothing there keeps a code from holding the scene instead of the
blur; so some codes are laid over another part of their photograph than they were read from, where
the scene differs and the blur of a camera hardly does.
"""

from statistics import fmean

import torch
from lightning.fabric import Fabric
from torch import Tensor, nn

from blur2blur import tensors
from blur2blur.blur.transfer import draw_code
from blur2blur.errors import ConfigError
from blur2blur.losses.reconstruction import gaussian_divergence, reconstruction
from blur2blur.networks import KernelWizard
from blur2blur.training import sources
from blur2blur.training.settings import KernelSettings
from blur2blur.training.task import (
    Batch,
    batch_files,
    check_crop,
    images_of,
    initial_network,
    set_up,
)
from blur2blur.weights import loading


class KernelTask:
    """See `task.Task`."""

    score = "validation/moved_psnr_db"
    higher_is_better = True

    def __init__(self, settings: KernelSettings, streams: sources.Streams, fabric: Fabric) -> None:
        """Build network, optimiser and data.

        Args:
            settings: all settings of the run.
            streams: as `DeblurrerTask` takes them.
            fabric: device, precision and processes.

        Raises:
            ConfigError: unknown option or camera, another network, a loss that needs a VAE.
            CheckpointError: `settings.init` cannot be loaded.
            DataError, InputError: unusable photographs.
        """
        self.settings, self.fabric = settings, fabric
        self.run = settings.run
        self.batch_size, self.workers = settings.data.batch_size, settings.data.workers
        self.known = sources.KnownBlur(settings.known, fabric.device)
        split = sources.split(streams, settings.data.validation_fraction)
        self.dataset = self.known.dataset(split.train, settings.data, seed=settings.run.seed)
        network = initial_network(settings, KernelWizard, loading.load_kernel_extractor)
        _refuse_no_deviation(settings, network)
        check_crop(settings.data.crop_px, network.size_rule)
        self.trained = {"network": set_up(fabric, network, settings.optimiser)}
        self.held_out_blurry, self.held_out_sharp = self.known.held_out(
            split.validation, settings.data, seed=settings.run.seed, device=fabric.device
        )

    def weights(self, network: nn.Module) -> dict[str, nn.Module]:
        """Return what is trained."""
        return {"kernel": network}

    def step(self, batch: Batch, rng: torch.Generator) -> dict[str, Tensor]:
        """Update the network once on known pairs."""
        settings = self.settings.loss
        blurry, sharp = self.known.pair(images_of(batch), rng)
        moves = torch.rand(len(sharp), 1, 1, 1, generator=rng) < settings.moved_codes

        def choose(mean: Tensor, deviation: Tensor | None) -> Tensor:
            code = draw_code(mean, deviation, rng)
            return torch.where(moves.to(code.device), _moved(code), code)

        network = self.trained["network"].network
        reblurred, mean, deviation = network(sharp, blurry, choose)
        with self.fabric.autocast():
            losses = {
                "reconstruction": reconstruction([reblurred], blurry, kind=settings.reconstruction)
            }
        if settings.kl and deviation is not None:
            losses["kl"] = settings.kl * gaussian_divergence(mean, deviation)
        logged = self.trained["network"].update(losses, batch_files(batch))
        return {f"loss/{name}": loss for name, loss in logged.items()}

    @torch.no_grad()
    def _reblurred(self, network: nn.Module, sharp: Tensor, *, move: bool) -> Tensor:
        """Lay the codes of the held-out pairs over `sharp`, where they were read or elsewhere."""
        assert isinstance(network, KernelWizard)
        with self.fabric.autocast():
            code, _ = network.extract(self.held_out_sharp, self.held_out_blurry)
            return network.adapt(sharp, _moved(code) if move else code).float().clamp(0, 1)

    def validate(self, network: nn.Module) -> dict[str, float]:
        """Return the mean PSNR [dB] against the blurry held-out crops.

        `psnr_db`: the sharp crop with its own code; `moved_psnr_db`: with codes from elsewhere in
        the crop, which is what counts for other images; `sharp_psnr_db`: the sharp crop as it is.
        """
        images = {
            "psnr_db": self._reblurred(network, self.held_out_sharp, move=False),
            "moved_psnr_db": self._reblurred(network, self.held_out_sharp, move=True),
            "sharp_psnr_db": self.held_out_sharp,
        }
        return {
            f"validation/{name}": fmean(map(tensors.psnr_db, image, self.held_out_blurry))
            for name, image in images.items()
        }

    def samples(self, network: nn.Module) -> dict[str, list[Tensor]]:
        """Return held-out pairs, another image of them, and the pair's blur laid over that."""
        others = self.held_out_sharp.roll(1, dims=0)
        return {
            "sharp": list(self.held_out_sharp[:4]),
            "blurry": list(self.held_out_blurry[:4]),
            "another": list(others[:4]),
            "with that blur": list(self._reblurred(network, others, move=False)[:4]),
        }


def _refuse_no_deviation(settings: KernelSettings, network: KernelWizard) -> None:
    if settings.loss.kl and not network.vae:
        raise ConfigError(
            f"loss.kl = {settings.loss.kl} needs a network with a deviation of the code; set "
            "network.options.vae=true (or another init), or loss.kl=0"
        )


def _moved(code: Tensor) -> Tensor:
    """Return the codes B C h w half a map away, in both directions."""
    return code.roll((code.shape[2] // 2, code.shape[3] // 2), dims=(2, 3))
