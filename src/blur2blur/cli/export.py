"""`blur2blur export`: weights for other programs."""

from pathlib import Path
from typing import Annotated

import typer


def export(
    file: Annotated[
        str,
        typer.Argument(
            metavar="FILE", help="Name of shipped weights, or a file: a converter or a deblurrer."
        ),
    ],
    out: Annotated[
        Path, typer.Option("--out", "-o", help="The .onnx, .xml or .pt2 file to write.")
    ],
    converter: Annotated[
        str | None,
        typer.Option(help="A converter to put before the deblurrer FILE, both in one file."),
    ] = None,
    format: Annotated[
        str | None,
        typer.Option(help="onnx, openvino or torch-export.", show_default="by OUT's suffix"),
    ] = None,
) -> None:
    """Write weights as ONNX, OpenVINO or torch.export, for programs without blur2blur.

    The file is run on images of several sizes and kept only if it gives what the original gives.
    """
    from blur2blur.inference.exporting import write as exporting

    written = exporting.export(file, out, converter=converter, format=format)
    header = written.header
    opset = f", opset {exporting.ONNX_OPSET}" if written.format == "onnx" else ""
    least = f"multiples of {header.multiple}, at least {header.minimum}"
    typer.echo(f"written   {out} ({written.format}{opset}; {' + '.join(header.networks)})")
    typer.echo(f"input     image: float32, N 3 H W, sRGB in [0, 1]; H and W {least}")
    typer.echo(f"outputs   {', '.join(header.outputs)}")
    typer.echo(f"compared  largest difference from the original {written.difference:.1e}")
