"""`blur2blur models`: weight files."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True)


@app.callback()
def models() -> None:
    """Turn weight files of other programs into weight files of blur2blur."""


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
