"""`blur2blur blur`: blurry/sharp pairs from sharp photographs."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from blur2blur.showing import nested_progress, printable, progress_bars

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from blur2blur.blur.pairs.plans import Planned

app = typer.Typer(no_args_is_help=True)

SharpDir = Annotated[Path, typer.Option("--to", help="Folder of sharp photographs to blur.")]
Out = Annotated[Path, typer.Option("--out", "-o", help="Receives blurry/, sharp/, transfer.json.")]
Count = Annotated[
    int | None, typer.Option(min=1, help="Pairs in all; without it one of each photograph.")
]
Network = Annotated[
    str, typer.Option(help="A kernel extractor: a name that ships, or a weight file.")
]
Seed = Annotated[int, typer.Option(help="Same seed, same files.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, mps.")]

DEFAULT_EXTRACTOR = "kernel"


@app.callback()
def blur() -> None:
    """Make blurry/sharp pairs from sharp photographs: simulated, transferred or new blur."""


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
    from blur2blur import api

    with progress_bars() as on_progress:
        done = api.simulate(
            sharp_dir,
            out,
            camera=camera,
            overrides=set_ or [],
            seed=seed,
            count_per_image=count_per_image,
            on_progress=on_progress,
        )
    for error in done.failures:
        typer.echo(f"failed: {printable(error)}", err=True)
    _tell(out, done.made, done.there, failed=bool(done.failures))


@app.command()
def transfer(
    pairs_dir: Annotated[
        Path, typer.Option("--from", help="Pairs whose blur is taken: trainC+trainD, blurry+sharp.")
    ],
    sharp_dir: SharpDir,
    out: Out,
    count: Count = None,
    network: Network = DEFAULT_EXTRACTOR,
    seed: Seed = 0,
    device: Device = "auto",
) -> None:
    """Lay the blur of pairs over other sharp photographs: more pairs to train on.

    Each photograph gets the blur of a pair chosen at random, and keeps its size. The same command
    again makes only what is missing. What cannot be read is reported and left out; the exit code
    is then 1.
    """
    from blur2blur import tensors
    from blur2blur.blur.pairs import augment
    from blur2blur.data.folders import layout
    from blur2blur.device import find_device
    from blur2blur.weights import loading, zoo

    place = find_device(device)
    wizard = loading.load_kernel_extractor(network).to(place)
    pairs = layout.find_pairs(pairs_dir)
    blur = f"of {pairs_dir.resolve()}"
    planned = augment.plan(
        sharp_dir,
        out,
        blur=blur,
        weights=zoo.resolve(network, role="kernel"),
        pairs=pairs,
        seed=seed,
        count=count,
    )

    def prepare(pair: "Planned") -> "Callable[[], None]":
        sharp = tensors.read_rgb(pair.source)
        code = augment.code_of_a_pair(pair, pairs, wizard)
        return lambda: augment.make(pair, sharp, code, wizard, out)

    _make_all(planned, lambda pair: augment.is_made(pair, out), prepare, out)


@app.command()
def sample(
    sharp_dir: SharpDir,
    out: Out,
    network: Annotated[str, typer.Option(help="A kernel extractor that was trained with a VAE.")],
    count: Count = None,
    temperature: Annotated[
        float, typer.Option(min=0, help="Below 1 the blurs are nearer to the average one.")
    ] = 1.0,
    seed: Seed = 0,
    device: Device = "auto",
) -> None:
    """Draw new blurs, which no pair has, and lay them over sharp photographs.

    Each is the same everywhere in its photograph. Resumes and reports as `transfer` does.
    """
    import torch

    from blur2blur import tensors
    from blur2blur.blur.pairs import augment
    from blur2blur.blur.transfer import new_code
    from blur2blur.device import find_device
    from blur2blur.weights import loading, zoo

    wizard = loading.load_kernel_extractor(network).to(find_device(device))
    new_code(wizard, torch.Generator(), temperature)  # refuses a network that has none
    blur = f"new, temperature {temperature}"
    weights = zoo.resolve(network, role="kernel")
    planned = augment.plan(sharp_dir, out, blur=blur, weights=weights, seed=seed, count=count)

    def prepare(pair: "Planned") -> "Callable[[], None]":
        sharp = tensors.read_rgb(pair.source)
        code = new_code(wizard, torch.Generator().manual_seed(pair.seed), temperature)
        return lambda: augment.make(pair, sharp, code, wizard, out)

    _make_all(planned, lambda pair: augment.is_made(pair, out), prepare, out)


def _make_all(
    pairs: "Sequence[Planned]",
    is_made: "Callable[[Planned], bool]",
    prepare: "Callable[[Planned], Callable[[], None]]",
    out: Path,
) -> None:
    """Make what is missing under a progress bar; exit with 1 where something could not be read.

    `prepare` reads, and returns what writes: files that cannot be read are left out, but a disk
    that cannot be written ends it all.
    """
    from rich.markup import escape

    from blur2blur.errors import InputError

    todo = [pair for pair in pairs if not is_made(pair)]
    failed: set[str] = set()
    with nested_progress(transient=False) as progress:
        for pair in progress.track(todo, description="photographing"):
            try:
                write = prepare(pair)
            except InputError as error:
                if str(error) not in failed:
                    progress.console.print(f"[bold red]failed:[/] {escape(printable(error))}")
                failed.add(str(error))
                continue
            write()
    made = sum(is_made(pair) for pair in todo)
    _tell(out, made, len(pairs) - len(todo), failed=bool(failed))


def _tell(out: Path, made: int, there: int, *, failed: bool) -> None:
    """Say what was made; exit with 1 where something could not be read."""
    typer.echo(f"{printable(out)}: {made} pairs made, {there} were there")
    if failed:
        typer.echo("the others could not be made", err=True)
        raise typer.Exit(1)
