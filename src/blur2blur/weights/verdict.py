"""Did teaching a converter a camera help? What a run folder says of that, and which weights win."""

import json
import shlex
from pathlib import Path

from blur2blur.errors import CheckpointError, ConfigError
from blur2blur.files import write_text
from blur2blur.settings import Settings, build

VERDICT = "verdict.json"
BEST = "best.safetensors"
LAST = "last.safetensors"


_LEAST_GAIN_DB = 0.05
_WORSE, _LONGER = 1.1, 1.05
"""Above so much of the distance, or the blur, that the shipped one leaves, the own has harmed."""


class Verdict(Settings):
    """A camera's own converter compared with the one it began from."""

    shipped: str
    """Name or file of the one it began from."""
    shipped_psnr_db: float
    """Of held-out simulated pairs of the camera, deblurred."""
    own_psnr_db: float
    photographs: int
    """Blurry photographs of the camera, crops of which were looked at."""
    held_out: bool
    """Whether they had no part in the training."""
    shipped_distance: float
    """In blur, of those photographs deblurred from the camera's sharp ones; see `blur_distance`."""
    own_distance: float
    shipped_blur_px: float
    """Extent of the blur that is left in them, as it is estimated."""
    own_blur_px: float
    kept: str
    """Name or file of the winner: a file of the run folder, or `shipped`."""

    @property
    def helped(self) -> bool:
        """Whether the camera's own converter won."""
        return self.kept != self.shipped

    @property
    def objection(self) -> str:
        """What speaks against the camera's own converter; empty where nothing does."""
        if self.own_psnr_db < self.shipped_psnr_db + _LEAST_GAIN_DB:
            return f"own camera gains less than {_LEAST_GAIN_DB} dB"
        if self.own_distance > _WORSE * self.shipped_distance:
            return "own camera blurs otherwise than your sharp photographs"
        if self.own_blur_px > _LONGER * self.shipped_blur_px:
            return "own camera leaves more blur"
        return ""

    def sentences(self, run: Path) -> list[str]:
        """Return what the command tells, the next command last."""
        of = "held out" if self.held_out else "of the training: there are none in testA"
        winner = "own camera is better and kept"
        if not self.helped:
            winner = f"shipped is kept: {self.objection or 'it is better'}"
        return [
            f"shipped {self.shipped_psnr_db:.2f} dB, own camera {self.own_psnr_db:.2f} dB on "
            "simulated pairs of your camera",
            f"on crops of your blurry photographs ({self.photographs}, {of}): blur that is left "
            f"shipped {self.shipped_blur_px:.1f} px, own camera {self.own_blur_px:.1f} px; "
            "distance in blur from your sharp ones shipped "
            f"{self.shipped_distance:.2f}, own camera {self.own_distance:.2f}",
            f"{winner}; next: blur2blur deblur PHOTOS -o OUT --converter {shlex.quote(str(run))}",
        ]


def write(run: Path, verdict: Verdict) -> None:
    """Write it into a run folder. Raises InputError where that is impossible."""
    write_text(run / VERDICT, verdict.model_dump_json(indent=2))


def read(run: Path) -> Verdict | None:
    """Return what a run folder says; None where it says nothing.

    Raises:
        CheckpointError: the file is damaged.
    """
    path = run / VERDICT
    if not path.is_file():
        return None
    try:
        return build(Verdict, json.loads(path.read_text(encoding="utf-8")), source=str(path))
    except (ConfigError, ValueError, OSError) as error:
        raise CheckpointError(f"{path} is damaged: {error}; delete it to use {BEST}") from error


def winner(run: Path) -> str:
    """Return the weights of a run folder that are best: a file in it, or a name.

    The verdict tells; where there is none, `BEST` are those of the best validation.

    Raises:
        CheckpointError: no weights, or a damaged verdict.
    """
    verdict = read(run)
    if verdict is not None and not verdict.helped:
        return verdict.shipped
    for name in [verdict.kept] if verdict else [BEST, LAST]:
        if (run / name).is_file():
            return str(run / name)
    raise CheckpointError(f"{run} holds no weights; give a run folder with {BEST}, or a file")
