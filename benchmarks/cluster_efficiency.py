"""What a second worker of a local Ray gains: photographs a second with one worker and with two.

`python benchmarks/cluster_efficiency.py --photographs 64 --repeats 3`

The seconds are those between the first result of all workers and the last, so that neither the
start of Ray nor the loading of the networks is counted. Each worker has one core.
"""

import argparse
import logging
import statistics
import tempfile
from pathlib import Path

import ray
import skimage.data
from PIL import Image

from blur2blur.inference import cluster, planning
from machine import describe


def photographs_a_second(source: Path, out: Path, workers: int) -> float:
    """Deblur a folder with that many workers."""
    ray.init(num_cpus=workers, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    try:
        done, failures = cluster.deblur(
            [str(source)],
            str(out),
            {"device": "cpu"},
            planning.Wanted(),
            address=cluster.LOCAL,
            cores=1,
            on_progress=lambda done, total: None,
        )
    finally:
        ray.shutdown()
    if failures:
        raise SystemExit("\n".join(failures))
    written = sorted(path.stat().st_mtime for path in out.rglob("*.png"))
    return (done - workers) / (written[-1] - written[workers - 1])


def main() -> None:
    """Print a row for each number of workers."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photographs", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    print(describe(), f"{options.photographs} photographs of 512 x 512 px", sep="\n", flush=True)
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        (place / "in").mkdir()
        for index in range(options.photographs):
            Image.fromarray(skimage.data.astronaut()).save(place / f"in/{index:03}.png")
        rates: dict[int, list[float]] = {1: [], 2: []}
        for repeat in range(options.repeats):
            for workers, found in rates.items():
                out = place / f"{repeat}-{workers}"
                found.append(photographs_a_second(place / "in", out, workers))
    for workers, found in rates.items():
        spread = f"{min(found):.2f} to {max(found):.2f}"
        print(f"{workers} workers: {statistics.median(found):.2f} photographs a second ({spread})")
    gain = [two / one for one, two in zip(rates[1], rates[2], strict=True)]
    print(f"gain: {statistics.median(gain):.2f} ({min(gain):.2f} to {max(gain):.2f})")


if __name__ == "__main__":
    main()
