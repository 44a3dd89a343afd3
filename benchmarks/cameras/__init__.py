"""The benchmark of unknown cameras: `python -m benchmarks.cameras`."""
