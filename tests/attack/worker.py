"""Runs cases one after the other, within limits of memory and time; started by `campaign.py`.

Reads lines "kind number seed", answers each with a line of JSON: what came of it, seconds, and by
how many megabytes memory grew at most.
"""

import json
import resource
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path

from blur2blur.errors import Blur2BlurError

MEMORY_BYTES = 6 << 30


def peak_mb() -> float:
    """Return the most memory that was resident since the last `forget_peak`."""
    lines = Path("/proc/self/status").read_text().splitlines()
    (line,) = [line for line in lines if line.startswith("VmHWM")]
    return int(line.split()[1]) / 1024


def forget_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")


def attempt(run: Callable[[], object]) -> dict[str, object]:
    """Run a case: "read", "refused" with its line, or "uncaught" with its traceback."""
    forget_peak()
    before, start = peak_mb(), time.perf_counter()
    outcome, told = "read", ""
    try:
        run()
    except Blur2BlurError as error:
        outcome, told = "refused", str(error)
    except BaseException:  # noqa: BLE001 (what is looked for)
        outcome, told = "uncaught", traceback.format_exc()
    seconds = time.perf_counter() - start
    return {"outcome": outcome, "told": told, "seconds": seconds, "mb": peak_mb() - before}


def picture(folder: Path, number: int, seed: int) -> tuple[str, Callable[[], object]]:
    import pictures

    from blur2blur import images

    name, data = pictures.case(number, seed)
    path = folder / f"a{pictures.SUFFIX}"
    path.write_bytes(data)

    def run() -> None:
        """What deblurring, checking and training do with a file."""
        failed: list[Blur2BlurError] = []
        for read in (images.read_size, images.read_time_taken, images.read_rgb_uint8):
            try:
                read(path)
            except Blur2BlurError as error:
                failed.append(error)
        photograph = images.read(path)
        pixels = images.working_pixels(photograph)
        result = images.with_result(photograph, pixels)
        for suffix in (".jpg", ".png", ".tif", ".webp"):
            images.encode(folder / f"b{suffix}", images.to_raster(folder / f"b{suffix}", result))

    return name, run


def weight_file(folder: Path, number: int, seed: int) -> tuple[str, Callable[[], object]]:
    import weight_files

    return weight_files.case(folder, number, seed)


KINDS = {"picture": picture, "weights": weight_file}


def main() -> None:
    warnings.filterwarnings("ignore")
    from blur2blur.images.boundary import OwnMistakeWarning

    warnings.filterwarnings("error", category=OwnMistakeWarning)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    answers = sys.stdout
    sys.stdout = sys.stderr
    with tempfile.TemporaryDirectory() as place:
        for line in sys.stdin:
            kind, number, seed = line.split()
            name, run = KINDS[kind](Path(place), int(number), int(seed))
            print(json.dumps({"name": name}), file=answers, flush=True)
            print(json.dumps(attempt(run)), file=answers, flush=True)


if __name__ == "__main__":
    main()
