"""Gathers the verbs; a user's mistake becomes one line and exit code 2."""

import getpass
import io
import logging
import os
import signal
import sys
import warnings
from collections.abc import Callable
from importlib.metadata import version
from typing import Annotated, NoReturn

import typer
from rich.console import Console
from rich.markup import escape

from blur2blur import extras, showing
from blur2blur.cli import blur, data, models, train
from blur2blur.cli.deblur import deblur
from blur2blur.cli.evaluate import evaluate
from blur2blur.cli.export import export
from blur2blur.errors import Blur2BlurError

app = typer.Typer(
    name="blur2blur",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(deblur)
app.command()(evaluate)
app.command()(export)
app.add_typer(train.app, name="train")
app.add_typer(data.app, name="data")
app.add_typer(blur.app, name="blur")
app.add_typer(models.app, name="models")


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"blur2blur {version('blur2blur')}")
        raise typer.Exit


@app.callback()
def blur2blur(
    show_version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    """Deblur the photographs of your own camera."""


def main() -> None:
    """Run the command line. A user's mistake, or a path the system refuses, exits with 2."""
    guard(app)


def guard(command: Callable[[], object]) -> None:
    """Run a command; a user's mistake, or a path the system refuses, becomes a line and exit 2.

    Ctrl-C is exit 130, SIGTERM 143.
    """
    signal.signal(signal.SIGTERM, _terminate)
    _name_user()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # for file names that are no Unicode
    handler = logging.StreamHandler()
    handler.setFormatter(_OneLine("warning: %(message)s"))
    logging.basicConfig(handlers=[handler], level=logging.WARNING)
    if not sys.warnoptions:  # libraries' remarks to those who program with them
        warnings.simplefilter("ignore")
    try:
        command()
    except typer.Exit as stop:
        sys.exit(stop.exit_code)
    except KeyboardInterrupt:
        typer.echo("stopped", err=True)
        sys.exit(130)
    except Blur2BlurError as error:
        _fail(str(error))
    except ImportError as error:
        missing = extras.explained(error, purpose="this command")
        if missing is None:
            raise
        _fail(str(missing))
    except OSError as error:
        _fail(f"{error.filename}: {error.strerror}" if error.filename else str(error))


class _OneLine(logging.Formatter):
    """Names of files must not steer the terminal."""

    def format(self, record: logging.LogRecord) -> str:
        return showing.printable(super().format(record))


def _name_user() -> None:
    """Give a user without account, as in containers, the name that torch asks for."""
    try:
        getpass.getuser()
    except (KeyError, OSError):
        os.environ["USER"] = f"user-{os.getuid()}"


def _terminate(_number: int, _frame: object) -> NoReturn:
    """End as an exception does: what is half written goes, what is finished stays."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    os.write(2, b"terminated\n")  # the streams may be in the middle of a line
    sys.exit(143)


def _fail(message: str) -> NoReturn:
    console = Console(stderr=True, soft_wrap=True, highlight=False, emoji=False)
    console.print(
        f"[bold red]error:[/] {escape(showing.printable(' '.join(message.splitlines())))}"
    )
    sys.exit(2)
