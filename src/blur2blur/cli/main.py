"""Gathers the verbs; a user's mistake becomes one line and exit code 2."""

import atexit
import errno
import getpass
import io
import logging
import os
import signal
import sys
import warnings
from collections.abc import Callable
from contextlib import suppress
from importlib.metadata import version
from typing import Annotated, Any, NoReturn, cast

import typer
from rich.console import Console
from rich.markup import escape
from typer.core import TyperGroup

from blur2blur import extras, showing
from blur2blur.cli import app as page
from blur2blur.cli import blur, data, models, train
from blur2blur.cli.deblur import deblur
from blur2blur.cli.evaluate import evaluate
from blur2blur.cli.export import export
from blur2blur.errors import Blur2BlurError, ConfigError

# of click, which typer has a copy of, or brings along, and of which it exports but one class
_UsageError = cast(type[Exception], typer.BadParameter.__mro__[1])


class _Group(TyperGroup):
    """Tells that Ctrl-C stopped it; typer itself says nothing."""

    def invoke(self, ctx: Any) -> Any:  # noqa: ANN401 (as in the class above it)
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as error:
            if not _asked_to_end:  # else `guard` does
                typer.echo("stopped", err=True)
            raise typer.Exit(130) from error


app = typer.Typer(
    name="blur2blur",
    cls=_Group,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(deblur)
app.command()(evaluate)
app.command()(export)
app.command()(page.app)
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


def main() -> NoReturn:
    """Run the command line. A user's mistake, or a path the system refuses, exits with 2."""
    try:
        guard(_run)
    finally:
        atexit.register(_leave)  # as the last one registered it is the first one called
    sys.exit(0)


def _leave() -> None:
    """Let no signal interrupt the end of the interpreter: all is written, and it would complain."""
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, signal.SIG_IGN)


def _run() -> int | None:
    for word in sys.argv[1:]:
        if not word.strip() or (word.startswith("--") and word.endswith("=")):
            raise ConfigError(
                f"'{word}' is an empty argument, as of a shell variable that is not set; "
                "give it a value or leave it out"
            )
    return app(standalone_mode=False)


def guard(command: Callable[[], int | None]) -> None:
    """Run a command, and exit with the code that it returns, if any.

    A user's mistake, or a path the system refuses, becomes a line and exit 2; Ctrl-C a line and
    exit 130; SIGTERM, or a terminal that is closed, one and 143.
    """
    _prepare_process()
    try:
        code = command()
        if _asked_to_end:  # and the exception was lost, in the destructor of something
            _end_stopped()
        if code:
            sys.exit(code)
    except typer.Exit as stop:
        sys.exit(stop.exit_code)
    except KeyboardInterrupt:
        _end_stopped()
    except Exception as error:  # noqa: BLE001 (raised again where it is our own mistake)
        if _asked_to_end:  # and a library that was being loaded made another error of it
            _end_stopped()
        _fail(_explained(error))


def _prepare_process() -> None:
    signal.signal(signal.SIGTERM, _terminate)
    hangup = getattr(signal, "SIGHUP", None)  # not on Windows
    if hangup is not None and signal.getsignal(hangup) is signal.SIG_DFL:  # not under nohup
        signal.signal(hangup, lambda _number, _frame: signal.raise_signal(signal.SIGTERM))
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # ignored: in the background
        signal.signal(signal.SIGINT, _interrupt)
    _name_user()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # for file names that are no Unicode
    handler = logging.StreamHandler()
    handler.setFormatter(_OneLine("warning: %(message)s"))
    logging.basicConfig(handlers=[handler], level=logging.WARNING)
    if not sys.warnoptions:  # libraries' remarks to those who program with them
        warnings.simplefilter("ignore")


def _explained(error: Exception) -> str:
    """Return what to tell of a mistake; nothing where the help was shown instead.

    Raises:
        Exception: that one, where it is our own mistake.
    """
    if isinstance(error, _UsageError):
        mistake: Any = error  # typer does not name its class
        command = mistake.ctx.command_path if mistake.ctx else "blur2blur"
        message = mistake.format_message().strip().rstrip(".")
        return message and f"{message}; see {command} --help"
    if isinstance(error, ImportError) and (
        missing := extras.explained(error, purpose="this command")
    ):
        return str(missing)
    cause = error.__context__
    if (
        isinstance(error, RuntimeError)
        and isinstance(cause, OSError)
        and cause.errno == errno.ELOOP
    ):
        return _explained(cause)  # pathlib's, before Python 3.13
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename}: {error.strerror}"
    if isinstance(error, (Blur2BlurError, OSError)):
        return str(error)
    raise error


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


_asked_to_end: list[int] = []
"""Exit codes of the signals that have come."""


def _end_stopped() -> NoReturn:
    code = _asked_to_end[-1] if _asked_to_end else 130
    if code == 130:
        typer.echo("stopped", err=True)
    sys.exit(code)


def _interrupt(_number: int, _frame: object) -> NoReturn:
    _asked_to_end.append(130)
    raise KeyboardInterrupt


def _terminate(_number: int, _frame: object) -> NoReturn:
    """End as an exception does: what is half written goes, what is finished stays."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    _asked_to_end.append(143)
    with suppress(OSError):  # the terminal may be gone
        os.write(2, b"terminated\n")  # the streams may be in the middle of a line
    sys.exit(143)


def _fail(message: str) -> NoReturn:
    if message:
        console = Console(stderr=True, soft_wrap=True, highlight=False, emoji=False)
        line = escape(showing.printable(" ".join(message.splitlines())))
        console.print(f"[bold red]error:[/] {line}")
    sys.exit(2)
