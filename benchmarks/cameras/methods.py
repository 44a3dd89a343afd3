"""How each method is trained on one camera; a training that is there is not repeated."""

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.cameras import photographs
from benchmarks.cameras.cyclegan import CycleTask
from benchmarks.cameras.scale import METHODS, Scale
from lightning.fabric import Fabric

from blur2blur import settings
from blur2blur.files import write_text
from blur2blur.inference import Pipeline
from blur2blur.training import launch, loop
from blur2blur.training.settings import ConverterSettings, DeblurrerSettings
from blur2blur.weights import loading, verdict

MINUTES = "minutes.txt"
EXACT = {"backend": "eager", "precision": "fp32", "scale": "1"}
"""How pipelines are run: alike on every machine."""

OPTIONAL = (
    "fine-tuned", "finished", "direct", "oracle", "reference", "cyclegan", "upper-bound",
)  # fmt: skip
"""Methods that no other needs."""

OWN = ("blur2blur", "finished", "direct", "oracle")
"""Begin from the generic converter and its deblurrer."""

ALONE = ("fine-tuned", "cyclegan", "upper-bound")
"""Go from the photograph to sharp by one network."""

Say = Callable[[str], None]


class Camera:
    """The methods on one camera and seed, in a folder of their own."""

    def __init__(
        self,
        scale: Scale,
        name: str,
        folder: Path,
        shared: dict[str, str],
        seed: int,
    ) -> None:
        """Name the folders.

        Args:
            scale: how each method is trained.
            name: of the camera.
            folder: holds `data` (see `photographs.take`) and receives a run folder per method.
            shared: weights of "known-only" and "generic", which no camera trains.
            seed: of every training.
        """
        self.scale, self.folder, self.shared, self.seed = scale, folder, shared, seed
        self.choice = scale.cameras.get(name)
        self.data = folder / "data"

    def train(self, say: Say) -> None:
        """Train what is not trained yet."""
        for method in METHODS:
            # what the scale's file does not name is not run
            if method not in self.scale.training or method in self.shared:
                continue
            # which camera takes the frames of a video nobody knows
            if method == "oracle" and self.choice is None:
                continue
            started = time.monotonic()
            if self._train(method):
                self._note_minutes(method, started)
                say(f"{method}: {(time.monotonic() - started) / 60:.1f} minutes")

    def pipelines(self) -> dict[str, Pipeline]:
        """Return what each trained method makes of a photograph."""
        known = self.shared["known-only"]
        made = {
            "known-only": Pipeline(known, None, **EXACT),
            "generic": Pipeline(known, self.shared["generic"], **EXACT),
        }
        for method in METHODS:
            converter = self._weights(method)
            if method in self.shared or not converter.exists():
                continue
            if method in ALONE:
                role = "converter" if method == "cyclegan" else "deblurrer"
                made[method] = Pipeline(loading.load_own(str(converter), role=role), **EXACT)
            elif method == "blur2blur":
                # as deblur takes a run folder: where its own did not help, what it began from
                made[method] = Pipeline(known, verdict.winner(converter.parent), **EXACT)
            else:
                trained = self.folder / method / "last-deblurrer.safetensors"
                made[method] = Pipeline(trained if trained.exists() else known, converter, **EXACT)
        return made

    def minutes(self, method: str) -> float | None:
        """Return how long the method's training took, None if it had none."""
        path = self.folder / method / MINUTES
        return float(path.read_text(encoding="utf-8")) if path.exists() else None

    def _weights(self, method: str) -> Path:
        name = "best" if method == "upper-bound" else "last"
        return self.folder / method / f"{name}.safetensors"

    def _note_minutes(self, method: str, started: float) -> None:
        spent = (time.monotonic() - started) / 60 + (self.minutes(method) or 0)
        write_text(self.folder / method / MINUTES, f"{spent:.2f}")

    def _train(self, method: str) -> bool:
        """Train or resume; return whether there was anything to do."""
        out = self.folder / method
        if (out / MINUTES).exists():
            return False
        overrides = [f"run.seed={self.seed}", *self.scale.training[method].overrides]
        preset = self.scale.training[method].preset
        if method in ("fine-tuned", "upper-bound"):
            data = self.data
            overrides.append(f"init={self.shared['known-only']}")
            if method == "upper-bound":
                data = self.data / "pairs"
                overrides.append("known.source=pairs")
            checked = settings.load(DeblurrerSettings, preset, overrides)
            launch.train_deblurrer(data, checked, out, quiet)
            return True
        if method in OWN:
            overrides.append(f"init={self.shared['generic']}")
        if method == "oracle":
            assert self.choice is not None
            cameras, changes = json.dumps([self.choice.camera]), json.dumps(self.choice.overrides)
            overrides += [f"simulated.cameras={cameras}", f"simulated.overrides={changes}"]
        if method != "cyclegan":
            overrides.append(f"deblurrer={self.shared['known-only']}")
        checked = settings.load(ConverterSettings, preset, overrides)
        if method == "cyclegan":
            train_cyclegan(self.data, checked, out)
        else:
            data = photographs.scenes(self.data) if method == "oracle" else self.data
            launch.train_converter(data, checked, out, quiet)
        return True


def train_cyclegan(data: Path, checked: ConverterSettings, out: Path) -> None:
    """Train or resume CycleGAN in the run folder `out`."""
    fabric = Fabric(accelerator="auto", devices=1, precision=checked.run.precision)
    out.mkdir(parents=True, exist_ok=True)
    loop.train(
        CycleTask(checked, launch.converter_streams(data, checked), fabric),
        fabric,
        out,
        progress=quiet,
    )


def train_shared(scale: Scale, sharp: Sequence[Path], folder: Path, say: Say) -> dict[str, str]:
    """Return the weights that no camera trains; train those that do not ship.

    Args:
        scale: says which ship and how the others are trained.
        sharp: photographs for the known blur and for simulated cameras.
        folder: receives links to the photographs and the run folders.
        say: told what was trained.
    """
    weights: dict[str, str] = {}
    for method, kind in (("known-only", DeblurrerSettings), ("generic", ConverterSettings)):
        training = scale.training[method]
        if training.weights:
            weights[method] = training.weights
            continue
        links = folder / "photographs"
        links.mkdir(parents=True, exist_ok=True)
        for path in sharp:
            if not (links / path.name).exists():
                (links / path.name).symlink_to(path.resolve())
        out = folder / method
        weights[method] = str(out / "best.safetensors")
        started = time.monotonic()
        if kind is DeblurrerSettings:
            checked = settings.load(DeblurrerSettings, training.preset, training.overrides)
            launch.train_deblurrer(links, checked, out, quiet)
        else:
            overrides = [*training.overrides, f"deblurrer={weights['known-only']}"]
            checked = settings.load(ConverterSettings, training.preset, overrides)
            launch.train_converter(links, checked, out, quiet)
        say(f"{method}: {(time.monotonic() - started) / 60:.1f} minutes")
    return weights


def quiet(_step: int, _values: dict[str, float]) -> None:
    """Show nothing: several trainings run side by side, each logs to its folder."""
