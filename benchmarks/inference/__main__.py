"""`python -m benchmarks.inference`."""

from benchmarks.inference.runner import main

if __name__ == "__main__":
    main()
