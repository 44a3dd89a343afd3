"""Gathers the verbs; a user's mistake becomes one line and exit code 2."""

import sys
from importlib.metadata import version
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from blur2blur.cli import blur, data, train
from blur2blur.cli.deblur import deblur
from blur2blur.cli.evaluate import evaluate
from blur2blur.errors import Blur2BlurError

app = typer.Typer(
    name="blur2blur",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(deblur)
app.command()(evaluate)
app.add_typer(train.app, name="train")
app.add_typer(data.app, name="data")
app.add_typer(blur.app, name="blur")


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"blur2blur {version('blur2blur')}")
        raise typer.Exit


@app.callback()
def blur2blur(
    show_version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    """Deblur the photographs of your own camera."""


def main() -> None:
    """Run the command line."""
    try:
        app()
    except Blur2BlurError as error:
        Console(stderr=True, soft_wrap=True).print(f"[bold red]error:[/] {escape(str(error))}")
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
