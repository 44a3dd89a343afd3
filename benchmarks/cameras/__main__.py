"""`python -m benchmarks.cameras`; apart from `runner`, which other processes import."""

from benchmarks.cameras.runner import main

if __name__ == "__main__":
    main()
