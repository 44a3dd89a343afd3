"""What a converter brings on a camera's own blurry photographs, of which no truth is known.

Two things are looked at once they are deblurred: how far the blur reaches that is left, as the
estimator that ships reads it, and how far they are in blur from the camera's own sharp photographs.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from blur2blur.networks import BlurExtent
from blur2blur.training import sources
from blur2blur.training.blur_distance import MINIMUM_PX, blur_distance
from blur2blur.training.run_folder import LOG
from blur2blur.training.settings import SimulatedConverterSettings
from blur2blur.weights import loading, verdict, zoo
from blur2blur.weights.headers import read_header
from blur2blur.weights.verdict import BEST, LAST, Verdict

_CROPS = 32
_PSNR, _DISTANCE, _BLUR = (
    f"validation/{name}" for name in ("psnr_db", "own_distance", "own_blur_px")
)


@dataclass(frozen=True, slots=True, eq=False)
class OwnPhotographs:
    """Crops of a camera's photographs, B 3 H W sRGB in [0, 1]; no scene is in both."""

    blurry: Tensor
    sharp: Tensor
    extent: BlurExtent

    @classmethod
    def of(
        cls, streams: sources.Streams, settings: SimulatedConverterSettings, device: torch.device
    ) -> "OwnPhotographs | None":
        """Return fixed crops; None where a run sees no camera, or crops are too small for it.

        Raises:
            DataError, InputError: unusable photographs.
        """
        if "unknown_blurry" not in streams or settings.data.crop_px < MINIMUM_PX:
            return None
        data = settings.data.model_copy(update={"validation_crops": _CROPS})
        crops = [
            sources.validation_batch({"own": paths}, data, seed=settings.run.seed)["own"].to(device)
            for paths in (_looked_at(streams), streams["unknown_sharp"])
        ]
        extent = loading.load_blur_extent(zoo.DEFAULT_BLUR_EXTENT).to(device)
        return cls(blurry=crops[0], sharp=crops[1], extent=extent)

    @torch.no_grad()
    def scores(self, deblurred: Tensor) -> dict[str, float]:
        """Return both scores of the blurry crops once they are deblurred; lower is better."""
        side_px = self.extent.size_rule.multiple * (
            deblurred.shape[-1] // self.extent.size_rule.multiple
        )
        octaves = self.extent(deblurred[..., :side_px, :side_px])[:, 0]
        return {
            "own_blur_px": float(octaves.median().exp2() - 1),
            "own_distance": blur_distance(deblurred, self.sharp),
        }


def _looked_at(streams: sources.Streams) -> Sequence[Path]:
    return streams.get("test_blurry") or streams["unknown_blurry"]


def judge(run: Path, streams: sources.Streams, settings: SimulatedConverterSettings) -> None:
    """Compare a finished run's weights with those it began from, and write which are kept.

    The camera's own are kept where they are better on its simulated pairs and do not harm its own
    photographs: the last ones, or the best ones where both scores prefer those, because the few
    pairs of a validation tell little. Nothing is written of a run that saw no camera.

    Raises:
        InputError: the run folder cannot be written.
    """
    first = json.loads((run / LOG).read_text(encoding="utf-8").partition("\n")[0])
    began = first["step"] == 0 and not settings.simulated.train_deblurrer
    if not began or _DISTANCE not in first:
        return
    own, name = read_header(run / LAST).metrics, LAST
    best = read_header(run / BEST).metrics
    if best[_PSNR] > own[_PSNR] and best[_DISTANCE] < own[_DISTANCE]:
        own, name = best, BEST
    shipped = settings.init or zoo.NONE
    if shipped not in (*zoo.ENTRIES, zoo.NONE):
        shipped = str(Path(shipped).resolve())
    told = Verdict(
        shipped=shipped,
        shipped_psnr_db=first[_PSNR],
        own_psnr_db=own[_PSNR],
        photographs=len(_looked_at(streams)),
        held_out="test_blurry" in streams,
        shipped_distance=first[_DISTANCE],
        own_distance=own[_DISTANCE],
        shipped_blur_px=first[_BLUR],
        own_blur_px=own[_BLUR],
        kept=name,
    )
    verdict.write(run, told.model_copy(update={"kept": shipped}) if told.objection else told)
