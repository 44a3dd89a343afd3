"""How each method is trained on one camera; a training that is there is not repeated."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.cameras.cyclegan import CycleTask
from benchmarks.cameras.scale import METHODS, Scale
from lightning.fabric import Fabric

from blur2blur import settings
from blur2blur.files import write_text
from blur2blur.inference import Pipeline
from blur2blur.training import launch, loop
from blur2blur.training.settings import ConverterSettings, DeblurrerSettings
from blur2blur.weights import loading

MINUTES = "minutes.txt"
EXACT = {"backend": "eager", "precision": "fp32"}
"""How pipelines are run: alike on every machine."""

OPTIONAL = ("finished", "direct", "reference", "cyclegan")
"""Methods that no other needs."""

Say = Callable[[str], None]


class Camera:
    """The methods on one camera and seed, in a folder of their own."""

    def __init__(self, scale: Scale, folder: Path, shared: dict[str, str], seed: int) -> None:
        """Name the folders.

        Args:
            scale: how each method is trained.
            folder: holds `data` (see `photographs.take`) and receives a run folder per method.
            shared: weights of "known-only" and "generic", which no camera trains.
            seed: of every training.
        """
        self.scale, self.folder, self.shared, self.seed = scale, folder, shared, seed
        self.data = folder / "data"

    def train(self, say: Say) -> None:
        """Train what is not trained yet, in the order of dependence."""
        trained = self.scale.training
        # what the scale's file does not name is not run
        for method in METHODS:
            if method not in trained or method in self.shared:
                continue
            started = time.monotonic()
            if self._train(method):
                self._note_minutes(method, started)
                say(f"{method}: {(time.monotonic() - started) / 60:.1f} minutes")

    def pipelines(self) -> dict[str, Pipeline]:
        """Return what each trained method makes of a photograph."""
        known = loading.load_deblurrer(self.shared["known-only"])
        made = {"known-only": Pipeline(known, None, **EXACT)}
        aware = self._best("camera-aware")
        made["camera-aware"] = Pipeline(aware, None, **EXACT)
        made["generic"] = Pipeline(aware, self.shared["generic"], **EXACT)
        for method in ("blur2blur", "reference"):
            if self._best(method).exists():
                made[method] = Pipeline(aware, self._best(method), **EXACT)
        if self._best("finished").exists():
            finished, converter = self._best("finished"), self._best("blur2blur")
            made["finished"] = Pipeline(finished, converter, **EXACT)
        for method in ("direct", "cyclegan", "upper-bound"):
            if self._best(method).exists():
                role = "converter" if method == "cyclegan" else "deblurrer"
                made[method] = Pipeline(
                    loading.load_own(str(self._best(method)), role=role), **EXACT
                )
        return made

    def minutes(self, method: str) -> float | None:
        """Return how long the method's training took, None if it had none."""
        path = self.folder / method / MINUTES
        return float(path.read_text(encoding="utf-8")) if path.exists() else None

    def _best(self, method: str) -> Path:
        name = "best" if method in ("camera-aware", "upper-bound") else "last"
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
        aware = self._best("camera-aware")
        if method in ("camera-aware", "direct"):
            overrides.append(f"init={self.shared['known-only']}")
            checked = settings.load(DeblurrerSettings, preset, overrides)
            launch.train_deblurrer(self.data, checked, out, quiet)
        elif method == "finished":
            overrides += [f"init={aware}", f"converter={self._best('blur2blur')}"]
            checked = settings.load(DeblurrerSettings, preset, overrides)
            launch.train_deblurrer(self.data, checked, out, quiet)
        elif method == "upper-bound":
            overrides += [f"init={self.shared['known-only']}", "known.source=pairs"]
            checked = settings.load(DeblurrerSettings, preset, overrides)
            launch.train_deblurrer(self.data / "pairs", checked, out, quiet)
        elif method == "cyclegan":
            train_cyclegan(self.data, settings.load(ConverterSettings, preset, overrides), out)
        else:
            if method == "blur2blur":
                overrides.append(f"init={self.shared['generic']}")
            overrides.append(f"deblurrer={aware}")
            checked = settings.load(ConverterSettings, preset, overrides)
            launch.train_converter(self.data, checked, out, quiet)
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
        photographs = folder / "photographs"
        photographs.mkdir(parents=True, exist_ok=True)
        for path in sharp:
            if not (photographs / path.name).exists():
                (photographs / path.name).symlink_to(path.resolve())
        out = folder / method
        weights[method] = str(out / "best.safetensors")
        started = time.monotonic()
        if kind is DeblurrerSettings:
            checked = settings.load(DeblurrerSettings, training.preset, training.overrides)
            launch.train_deblurrer(photographs, checked, out, quiet)
        else:
            overrides = [*training.overrides, f"deblurrer={weights['known-only']}"]
            checked = settings.load(ConverterSettings, training.preset, overrides)
            launch.train_converter(photographs, checked, out, quiet)
        say(f"{method}: {(time.monotonic() - started) / 60:.1f} minutes")
    return weights


def quiet(_step: int, _values: dict[str, float]) -> None:
    """Show nothing: several trainings run side by side, each logs to its folder."""
