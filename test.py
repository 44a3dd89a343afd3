"""The test command of the published Blur2Blur; see docs/from-reference.md."""

from blur2blur.cli.reference_test import main

if __name__ == "__main__":
    main()
