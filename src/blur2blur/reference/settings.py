"""From the options of the published `train.py` to settings of a run, as `--set` takes them."""

import json
import math
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from blur2blur.errors import ConfigError
from blur2blur.reference.options import GENERATORS
from blur2blur.reference.parser import Options

if TYPE_CHECKING:
    from blur2blur.data.folders.layout import Layout

EXTRACTOR_SETTINGS = (
    Path("options/generate_blur/augmentation.yml"),
    Path("options/generate_blur/default.yml"),
)
"""Where the published code names the weights of its kernel extractor."""
EXTRACTORS = (
    Path("options/generate_blur/GOPRO_woVAE.pth"),
    Path("options/generate_blur/GOPRO_wVAE.pth"),
)
"""Where it has them, unless those say otherwise."""

_ADVERSARIAL = {
    "hinge": "hinge",
    "lsgan": "least_squares",
    "vanilla": "logistic",
    "wgangp": "wasserstein",
}
_COMPARED_SIZES = 3
_LEAST_STEPS_BETWEEN_VALIDATIONS = 500
_DEFAULT_LAYERS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Rhythm:
    """Epochs and samples of the published code, counted in steps.

    Attributes:
        samples_per_step: of all processes.
        steps_per_epoch: as many samples as the larger of trainA and trainB has photographs.
        first_epoch: number of the first epoch.
        constant_epochs: before the rate falls.
        epochs: in all.
        checkpoint_every: steps between checkpoints, besides those at the end of epochs.
        keep_every: epochs between weights that are kept.
        by_iteration: keep the others too.
    """

    samples_per_step: int
    steps_per_epoch: int
    first_epoch: int
    constant_epochs: int
    epochs: int
    checkpoint_every: int
    keep_every: int
    by_iteration: bool

    @property
    def steps(self) -> int:
        """Length of the run."""
        return self.epochs * self.steps_per_epoch

    def in_steps(self, samples: int) -> int:
        """Return the nearest number of steps, at least one."""
        return max(1, round(samples / self.samples_per_step))

    def epoch_kept_at(self, step: int) -> int | None:
        """Return the epoch that ends with `step` and whose weights are kept, else None."""
        epoch = self.first_epoch - 1 + step // self.steps_per_epoch
        ends = step % self.steps_per_epoch == 0
        return epoch if ends and epoch % self.keep_every == 0 else None

    def prefixes(self, step: int) -> list[str]:
        """Return the names under which the weights after `step` are written, without `_net_`."""
        names: list[str] = []
        if step % self.checkpoint_every == 0 and self.by_iteration:
            names.append(f"iter_{step * self.samples_per_step}")
        elif step % self.checkpoint_every == 0:
            names.append("latest")
        epoch = self.epoch_kept_at(step)
        if epoch is not None:
            names += ["latest", str(epoch)]
        return list(dict.fromkeys(names))


def rhythm(options: Options, found: "Layout") -> Rhythm:
    """Count the epochs of a data folder.

    Raises:
        ConfigError: a number that must be positive is not, or no epoch is left to train.
        DataError: no photographs in trainA.
    """
    for name in (
        "batch_size",
        "save_epoch_freq",
        "save_latest_freq",
        "print_freq",
        "update_html_freq",
        "epoch_count",
    ):
        if options.whole(name) < 1:
            raise ConfigError(f"--{name} {options.whole(name)}: it must be at least 1")
    photographs = max(len(found.require("trainA")), len(found.unknown_sharp))
    samples_per_step = options.whole("batch_size") * int(os.environ.get("WORLD_SIZE", "1"))
    first = 1 if options.flag("continue_train") else options.whole("epoch_count")
    constant, decay = options.whole("n_epochs"), options.whole("n_epochs_decay")
    epochs = constant + decay - first + 1
    if constant < 0 or decay < 0 or epochs < 1:
        raise ConfigError(
            f"--n_epochs {constant} --n_epochs_decay {decay} --epoch_count {first} leaves no epoch "
            "to train; give more of them"
        )
    return Rhythm(
        samples_per_step=samples_per_step,
        steps_per_epoch=math.ceil(photographs / samples_per_step),
        first_epoch=first,
        constant_epochs=max(0, constant - first + 1),
        epochs=epochs,
        checkpoint_every=max(1, round(options.whole("save_latest_freq") / samples_per_step)),
        keep_every=options.whole("save_epoch_freq"),
        by_iteration=options.flag("save_by_iter"),
    )


def settings(options: Options, pace: Rhythm) -> list[str]:
    """Return what all options but those of known blur and content loss set."""
    return [
        *_networks(options),
        *_run(options, pace),
        *_optimiser(options, pace),
        *_losses(options),
        f"data.batch_size={options.whole('batch_size')}",
        f"data.crop_px={options.whole('crop_size')}",
        f"data.workers={options.whole('num_threads')}",
        f"data.rotations={json.dumps(not options.flag('no_flip'))}",
        "data.colour_jitter=0.0",
        "data.curriculum_steps=0",
    ]


def _networks(options: Options) -> list[str]:
    name, chosen = GENERATORS[options.text("netG")]
    overrides = [f"network.name={name}", "network.options={}"]
    overrides += [f"network.options.{key}={value}" for key, value in chosen.items()]
    if options.whole("ngf"):
        overrides.append(f"network.options.base_channels={options.whole('ngf')}")
    if name in ("unet", "resnet"):
        overrides.append(f"network.options.norm={options.text('norm')}")
    if name == "mimo_unet_plus" and options.flag("no_dropout"):
        overrides.append("network.options.dropout=0.0")
    layers = {"basic": _DEFAULT_LAYERS, "n_layers": options.whole("n_layers_D"), "pixel": 0}
    return [
        *overrides,
        f"discriminator.layers={layers[options.text('netD')]}",
        f"discriminator.base_channels={options.whole('ndf')}",
        f"discriminator.norm={options.text('norm')}",
    ]


def _run(options: Options, pace: Rhythm) -> list[str]:
    sheets = pace.in_steps(options.whole("update_html_freq"))
    return [
        f"run.steps={pace.steps}",
        f"run.log_every={pace.in_steps(options.whole('print_freq'))}",
        f"run.samples_every={pace.steps if options.flag('no_html') else sheets}",
        f"run.checkpoint_every={pace.checkpoint_every}",
        f"run.validate_every={max(pace.steps_per_epoch, _LEAST_STEPS_BETWEEN_VALIDATIONS)}",
    ]


def _optimiser(options: Options, pace: Rhythm) -> list[str]:
    policy = options.text("lr_policy")
    constant = 0.0
    if policy == "linear":
        constant = pace.constant_epochs / pace.epochs
        if constant >= 1:
            policy, constant = "constant", 0.0
    return [
        f"optimiser.learning_rate={options.number('lr')}",
        f"discriminator.learning_rate={options.number('lr')}",
        f"optimiser.beta1={options.number('beta1')}",
        f"optimiser.schedule={policy}",
        f"optimiser.constant_fraction={constant}",
        f"optimiser.decay_every={options.whole('lr_decay_iters') * pace.steps_per_epoch}",
    ]


def _losses(options: Options) -> list[str]:
    overrides = [f"loss.adversarial={_ADVERSARIAL[options.text('gan_mode')]}"]
    if not options.number("lambda_gp"):
        return [*overrides, "loss.penalty=none"]
    # beside the sum of the discriminator's losses; the published one is beside their mean
    return [*overrides, f"loss.penalty_weight={2 * options.number('lambda_gp')}"]


def content_weight(options: Options) -> float:
    """Return the weight of the VGG loss, which is a mean over the sizes here, a sum there."""
    return _COMPARED_SIZES * options.number("lambda_Perc")


def known_blur(found: "Layout", extractor: str) -> tuple[list[str], list[str]]:
    """Choose where the known blur comes from; return what that sets, and notes for the reader.

    Transferred from the pairs of trainC and trainD, where there is an extractor; else those pairs
    as they are; without them the blur engine's.

    Args:
        found: the data folder.
        extractor: a kernel extractor that ships, or its weights; "" to look where the published
            code has them.

    Raises:
        CheckpointError: `extractor` is neither.
    """
    from blur2blur.weights import zoo

    if extractor:
        zoo.resolve(extractor, role="kernel")
    else:
        places = [*_named_extractors(), *EXTRACTORS]
        extractor = next((str(path) for path in places if path.is_file()), "")
    if extractor:
        return ["known.source=transfer", f"known.extractor={json.dumps(extractor)}"], []
    missing = (
        f"the published method transfers the known blur with a kernel extractor, which is not at "
        f"{EXTRACTORS[0]}"
    )
    remedy = "to transfer it: --extractor kernel, or a file of 'blur2blur train kernel'"
    if found.known_blurry and found.known_sharp:
        return ["known.source=pairs"], [
            f"{missing}; the pairs of trainC and trainD are the known blur as they are; {remedy}"
        ]
    return ["known.source=synthetic"], [
        f"{missing}, from pairs in trainC and trainD, which are not in {found.root}; a synthetic "
        f"shake over trainB is the known blur; {remedy}"
    ]


def _named_extractors() -> list[Path]:
    pattern = re.compile(r"""^\s*pretrained:\s*["']?([^"'#\s]+)""", re.MULTILINE)
    return [
        Path(name)
        for path in EXTRACTOR_SETTINGS
        if path.is_file()
        for name in pattern.findall(path.read_text(encoding="utf-8", errors="replace"))
    ]
