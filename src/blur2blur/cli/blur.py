"""`blur2blur blur`: what the blur engine does for itself."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True)


@app.callback()
def blur() -> None:
    """Simulate cameras: blurry/sharp pairs from sharp photographs."""


@app.command()
def synth(
    sharp_dir: Annotated[Path, typer.Argument(help="Folder of sharp photographs.")],
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Receives blurry/, sharp/, kernels/, synth.json.")
    ],
    camera: Annotated[str, typer.Option(help="A camera that ships, or a TOML file.")] = "known",
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", help="Another value: 'shake.length_px=[3, 11]'; repeatable."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Same seed, same files.")] = 0,
    count_per_image: Annotated[int, typer.Option(min=1, help="Pairs per photograph.")] = 1,
) -> None:
    """Photograph sharp pictures with a simulated camera, blurry and sharp, and keep the kernels.

    The same command again makes only what is missing. A file that cannot be read is reported and
    left out; the exit code is then 1.
    """
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import Progress

    from blur2blur import images
    from blur2blur.blur import Camera, load_camera, synth
    from blur2blur.errors import InputError

    settings = load_camera(camera, set_ or [])
    pairs = synth.plan(sharp_dir, out, settings, seed, count_per_image)
    todo = [pair for pair in pairs if not synth.is_made(pair, out)]
    console = Console(stderr=True, soft_wrap=True)
    failed: set[Path] = set()
    taker = Camera(settings)
    with Progress(console=console, disable=not console.is_terminal) as progress:
        for pair in progress.track(todo, description="photographing"):
            if pair.source in failed:
                continue
            try:
                sharp = images.read_rgb(pair.source)
            except InputError as error:
                failed.add(pair.source)
                console.print(f"[bold red]failed:[/] {escape(str(error))}")
                continue
            synth.make(pair, taker, sharp, out)
    made = sum(synth.is_made(pair, out) for pair in todo)
    typer.echo(f"{out}: {made} pairs made, {len(pairs) - len(todo)} were there")
    if failed:
        typer.echo(f"{len(failed)} of the photographs could not be read", err=True)
        raise typer.Exit(1)
