"""`blur2blur models`: weights by name, and weight files."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from blur2blur.weights.hub import Published
    from blur2blur.weights.zoo import Entry

app = typer.Typer(no_args_is_help=True)


@app.callback()
def models() -> None:
    """Weights by name, and weight files of other programs."""


@app.command("list")
def list_() -> None:
    """List the weights that have a name: those that ship, and those that are fetched once."""
    from rich.console import Console
    from rich.table import Table

    from blur2blur.weights import hub, zoo

    table = Table("name", "role", "licence", "size", "here")
    for name, entry in zoo.ENTRIES.items():
        size_bytes = (zoo.WEIGHTS_DIR / entry.file).stat().st_size
        table.add_row(name, entry.role, entry.licence, _megabytes(size_bytes), "ships")
    for name, row in hub.PUBLISHED.items():
        here = "in the cache" if hub.kept(name) else "on the hub"
        table.add_row(name, row.role, row.licence, _megabytes(row.size_bytes), here)
    Console(soft_wrap=True).print(table)


@app.command()
def show(
    name: Annotated[str, typer.Argument(metavar="NAME", help="As 'models list' has it.")],
) -> None:
    """Tell all that is known of weights with a name."""
    from dataclasses import asdict

    from blur2blur.weights import hub

    row = _find(name)
    for key, value in asdict(row).items():
        typer.echo(f"{key:13} {value}")
    if isinstance(row, hub.Published):
        typer.echo(f"{'address':13} {row.address}")
        typer.echo(f"{'use it':13} blur2blur deblur PHOTO -o DIR --deblurrer {name}")
        typer.echo(
            f"{'adapt to it':13} blur2blur train converter --data DIR -o RUN "
            f"--set deblurrer={name} --set known.camera={row.known_camera}"
        )


@app.command()
def get(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="As 'models list' has it, or hf:owner/name.")
    ],
    role: Annotated[
        str, typer.Option(help="Of hf:owner/name: which of its weights to fetch.")
    ] = "converter",
) -> None:
    """Fetch weights now, check them, and print where they are."""
    from blur2blur.weights import hub, zoo

    typer.echo(zoo.resolve(name, role=role if name.startswith(hub.PREFIX) else _find(name).role))


@app.command()
def pack(
    source: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder, or a weight file.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The .b2b file to write.")],
    licence: Annotated[
        str, typer.Option(help="As the hub names it, such as cc-by-4.0; unknown gives no rights.")
    ] = "unknown",
    sample: Annotated[
        bool, typer.Option(help="Add the run's last sample sheet, which shows your photographs.")
    ] = True,
) -> None:
    """Make one file of trained weights, to share: --converter takes it as it is."""
    from blur2blur.weights import packing

    packed = packing.pack(source, out, licence=licence, sample=sample)
    typer.echo(f"written   {out} ({packed.role}, licence {packed.licence})")
    typer.echo(f"use it    blur2blur deblur PHOTO -o DIR --{packed.role} {out}")


@app.command()
def push(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What 'models pack' wrote.")],
    repository: Annotated[str, typer.Argument(metavar="NAME", help="On the hub: owner/name.")],
    private: Annotated[
        bool, typer.Option("--private", help="Make the repository one that nobody else sees.")
    ] = False,
) -> None:
    """Put packed weights on the Hugging Face hub, with a card that tells of them."""
    from blur2blur.weights import packing

    role = packing.push(file, repository, private=private).role
    typer.echo(f"use it    blur2blur deblur PHOTO -o DIR --{role} hf:{repository}")


def _find(name: str) -> "Entry | Published":
    from blur2blur.errors import ConfigError
    from blur2blur.settings import nearest
    from blur2blur.weights import hub, zoo

    rows = {**zoo.ENTRIES, **hub.PUBLISHED}
    if name not in rows:
        raise ConfigError(f"no weights '{name}'{nearest(name, rows)}")
    return rows[name]


def _megabytes(size_bytes: int) -> str:
    return f"{size_bytes / 1e6:.1f} MB"


@app.command("import")
def import_(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="Published weights: .pth, .pkl, .safetensors...")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="The .safetensors file to write.")],
    role: Annotated[
        str,
        typer.Option(
            help="What a network from image to image is for: converter or deblurrer; auto takes "
            "*_net_G for a converter, other files for a deblurrer."
        ),
    ] = "auto",
) -> None:
    """Recognise published weights, tell what they are, and write them as a file of blur2blur.

    Known are MIMO-UNet, MIMO-UNet+, NAFNet, the kernel extractor with and without VAE, and the
    discriminator of Blur2Blur. The file is read as numbers only; one that could run code is
    refused.
    """
    from blur2blur.weights import third_party
    from blur2blur.weights.checkpoints import save_network

    imported = third_party.import_file(file, out, role=role)
    save_network(out, imported.network, imported.header)
    parameters = sum(parameter.numel() for parameter in imported.network.parameters())
    options = ", ".join(f"{name} {value}" for name, value in imported.header.options.items())
    typer.echo(f"found     {imported.header.network}, {parameters:,} parameters")
    typer.echo(f"options   {options}")
    typer.echo(f"written   {out} ({imported.header.role})")
    typer.echo(f"use it    {_USES[imported.header.role]}".format(out))


_USES = {
    "converter": "blur2blur deblur PHOTO -o DIR --converter {}",
    "deblurrer": "blur2blur deblur PHOTO -o DIR --deblurrer {}",
    "kernel": "blur2blur blur transfer --from PAIRS --to SHARP -o DIR --network {}",
    "discriminator": "blur2blur train converter ... --set discriminator.init={}",
}
