"""The command `blur2blur`, also as `python -m blur2blur`."""

import sys


def main() -> None:
    """Run the command line; Ctrl-C is one line from the first moment on."""
    try:
        from blur2blur.cli.main import main as run

        run()
    except KeyboardInterrupt:
        sys.stderr.write("stopped\n")
        sys.exit(130)


if __name__ == "__main__":
    main()
