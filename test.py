"""The test command of the published Blur2Blur; see docs/from-reference.md."""

import sys

try:
    from blur2blur.reference.convert import main
except ModuleNotFoundError as error:
    sys.exit(f"error: {error}; install first: pip install -c constraints.txt .")

if __name__ == "__main__":
    main()
