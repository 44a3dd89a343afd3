"""`blur2blur deblur`: photographs in, deblurred photographs out."""

import re
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

NO_CONVERTER = "none"


def deblur(
    inputs: Annotated[
        list[str], typer.Argument(metavar="INPUT", help="Image files, clips, folders, or globs.")
    ],
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            "-o",
            help="Output folder; files of the same name are replaced. Of one photograph or clip: "
            "a file.",
        ),
    ],
    converter: Annotated[
        str | None,
        typer.Option(
            help="Converter trained on this camera, a name of shipped weights, or none. Not given: "
            "generic-small with the deblurrer that ships, none with another."
        ),
    ] = None,
    deblurrer: Annotated[
        str,
        typer.Option(help="Name of shipped weights, a file of ours, or of another project."),
    ] = "known-blur-small",
    scale: Annotated[
        str,
        typer.Option(
            help="Size at which it is deblurred: 1, 1/2, 1/3 or 1/4 of the sides, the change then "
            "enlarged; or auto: by the extent of the blur, one scale for each scene of a clip."
        ),
    ] = "1",
    tile: Annotated[
        int | None,
        typer.Option(
            metavar="PX",
            help="Side of a tile; memory grows with its square. Not given: 768, or 480 with torch "
            "on a CPU.",
        ),
    ] = None,
    overlap: Annotated[int, typer.Option(metavar="PX", help="What neighbouring tiles share.")] = 96,
    batch: Annotated[int, typer.Option(help="Tiles at once.")] = 1,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, mps.")] = "auto",
    backend: Annotated[
        str, typer.Option(help="auto, eager, compile, onnxruntime or openvino.")
    ] = "auto",
    precision: Annotated[
        str,
        typer.Option(help="auto, fp32, bf16 or fp16; auto is the fastest that the machine has."),
    ] = "auto",
    ensemble: Annotated[
        str,
        typer.Option(
            help="none, or x8: the mean over each tile turned and mirrored in every way, at eight "
            "times the seconds."
        ),
    ] = "none",
    save_converted: Annotated[
        bool,
        typer.Option("--save-converted", help="Keep the converted images too, in OUT/converted."),
    ] = False,
    watch: Annotated[
        bool,
        typer.Option(
            "--watch",
            help="Go on with the photographs that come into the folders, until stopped.",
        ),
    ] = False,
    ray: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="Deblur on a cluster of Ray: its address, auto for the one that this machine is "
            "of, or local for one on this machine. INPUT and OUT may be addresses such as s3://.",
        ),
    ] = None,
    ray_cores: Annotated[
        int, typer.Option(min=1, help="Cores of each worker on machines without GPUs.")
    ] = 4,
    codec: Annotated[
        str,
        typer.Option(help="Of clips: auto (their own), h264, hevc, av1, vp9, prores, ffv1."),
    ] = "auto",
    crf: Annotated[
        int | None,
        typer.Option(help="Quality of clips, 0 the best; default by codec, such as 18 for h264."),
    ] = None,
) -> None:
    """Deblur photographs of any size, tile by tile, and clips of any length, frame by frame.

    The outputs keep size, name, bit depth, EXIF and colour profile; clips keep time stamps and
    sound.

    What cannot be done is listed at the end; the exit code is then 1.
    """
    from blur2blur import api
    from blur2blur.errors import ConfigError
    from blur2blur.inference import Pipeline
    from blur2blur.inference.video.codecs import Quality
    from blur2blur.showing import printable, progress_bars
    from blur2blur.weights import zoo

    converter = zoo.converter_beside(deblurrer, converter or zoo.DEFAULT)
    converter = None if converter == NO_CONVERTER else converter
    if save_converted and converter is None:
        raise ConfigError("--save-converted needs --converter: without one nothing is converted")

    options: dict[str, Any] = {
        "deblurrer": deblurrer,
        "converter": converter,
        "device": device,
        "backend": backend,
        "precision": precision,
        "tile_px": tile,
        "overlap_px": overlap,
        "batch_size": batch,
        "ensemble": ensemble,
        "scale": scale,
    }

    def pipeline() -> Pipeline:
        return Pipeline(**options)

    if ray is not None:
        if watch or save_converted:
            raise ConfigError("--ray deblurs photographs once: leave out --watch, --save-converted")
        _on_cluster(inputs, out, options, address=ray, cores=ray_cores)
    if watch:
        from blur2blur.inference import watching

        watching.deblur(
            inputs,
            out,
            pipeline,
            save_converted=save_converted,
            tell=lambda line: typer.echo(printable(line)),
        )
        return
    with progress_bars("photographs", "clips") as on_progress:
        done = api.deblur_folder(
            inputs,
            out,
            pipeline=pipeline,
            save_converted=save_converted,
            quality=Quality(codec=codec, crf=crf),
            on_progress=on_progress,
        )
    for kind, files, tried in (
        ("photographs", done.photographs, done.photographs_tried),
        ("clips", done.clips, done.clips_tried),
    ):
        if tried:
            where = "to" if kind == "clips" and files == [out] else "into"
            typer.echo(f"{len(files)} of {tried} {kind} deblurred {where} {printable(out)}")
    if done.failures:
        typer.echo("these failed:", err=True)
        for error in done.failures:
            typer.echo(f"  {printable(error)}", err=True)
        raise typer.Exit(1)


def _on_cluster(
    inputs: list[str], out: Path, options: dict[str, Any], *, address: str, cores: int
) -> NoReturn:
    from blur2blur.inference import cluster
    from blur2blur.showing import printable, progress_bars

    with progress_bars("photographs") as on_progress:
        done, failures = cluster.deblur(
            inputs,
            # of the two slashes of an address, a path keeps one
            re.sub(r"^(\w+):/(?!/)", r"\1://", str(out)),
            options,
            address=address,
            cores=cores,
            on_progress=lambda number, total: on_progress("photographs", number, total),
        )
    typer.echo(f"{done} of {done + len(failures)} photographs deblurred into {printable(out)}")
    if failures:
        typer.echo("these failed:", err=True)
    for line in failures:
        typer.echo(f"  {printable(line)}", err=True)
    raise typer.Exit(1 if failures else 0)
