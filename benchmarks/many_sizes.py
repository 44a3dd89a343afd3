"""Whether memory grows with the number of different image sizes that one pipeline is given.

`python benchmarks/many_sizes.py --count 200` deblurs noise of that many sizes of 64 to 304 pixels
and prints the resident memory now and then.
"""

import argparse
import os
import platform
from importlib.metadata import version
from pathlib import Path

import numpy as np

from blur2blur import Pipeline


def resident_mb() -> float:
    """Return what this process holds in memory, in megabytes (Linux)."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 1e6


def main() -> None:
    """Read the options and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rng = np.random.default_rng(options.seed)
    pipeline = Pipeline(scale="1")
    # not by `machine`, which loads torch: several hundred megabytes that are none of the pipeline's
    machine = f"{platform.machine()}, {os.cpu_count()} cores, OpenVINO {version('openvino')}"
    print(f"{machine}, seed {options.seed}")
    for number in range(options.count):
        height, width = rng.integers(64, 305, 2)
        pipeline(rng.random((height, width, 3), np.float32))
        if number in (0, options.count // 4, options.count // 2, options.count - 1):
            print(f"after {number + 1:4} sizes: {resident_mb():.0f} MB", flush=True)


if __name__ == "__main__":
    main()
