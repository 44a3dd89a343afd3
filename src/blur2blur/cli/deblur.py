"""`blur2blur deblur`: photographs in, deblurred photographs out."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, cast

import typer

from blur2blur.cli.account import print_account

if TYPE_CHECKING:
    from blur2blur.images import Format
    from blur2blur.inference.batch import Deblurred
    from blur2blur.inference.planning import Wanted


def deblur(
    inputs: Annotated[
        list[str], typer.Argument(metavar="INPUT", help="Image files, clips, folders, or globs.")
    ],
    out: Annotated[
        str,
        typer.Option(
            "--out",
            "-o",
            metavar="PATH",
            help="Output folder; results of earlier runs are replaced. Of one photograph or "
            "clip: a file, which is replaced.",
        ),
    ],
    converter: Annotated[
        str,
        typer.Option(help="Converter trained on this camera, a name of shipped weights, or none."),
    ] = "none",
    deblurrer: Annotated[
        str,
        typer.Option(
            help="Name of shipped weights, a file of ours, or of another project; default: the one "
            "that the converter was trained through, known-blur without."
        ),
    ] = "default",
    scale: Annotated[
        str,
        typer.Option(
            help="Size at which it is deblurred: 1, 1/2, 1/3 or 1/4 of the sides, the change then "
            "enlarged; or auto: by the extent of the blur, one scale for each scene of a clip."
        ),
    ] = "auto",
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
    strength: Annotated[
        float, typer.Option(help="How much of the change is made: 0 is the input, 1 all of it.")
    ] = 1.0,
    everything: Annotated[
        bool,
        typer.Option(
            "--all",
            help="Deblur photographs that are sharp already, and results of earlier runs, too.",
        ),
    ] = False,
    skip_existing: Annotated[
        bool,
        typer.Option(
            "--skip-existing",
            help="Go on where an earlier run stopped: leave out what was made of the same file "
            "with the same weights and settings.",
        ),
    ] = False,
    overwrite: Annotated[
        bool,
        typer.Option(
            "--overwrite", help="Replace files in the output folder that blur2blur has not made."
        ),
    ] = False,
    format_: Annotated[
        str,
        typer.Option("--format", help="Of photographs: keep, jpeg, png, tiff, webp or avif."),
    ] = "keep",
    quality: Annotated[
        int | None,
        typer.Option(help="Of JPEG, WebP and AVIF, 1 to 100. Not given: that of each photograph."),
    ] = None,
    suffix: Annotated[
        str,
        typer.Option(metavar="TEXT", help="Put behind names: _sharp makes a_sharp.jpg of a.jpg."),
    ] = "",
    live_photo_clips: Annotated[
        bool,
        typer.Option(
            "--live-photo-clips",
            help="Deblur the clips of Live Photos, too.",
        ),
    ] = False,
    save_converted: Annotated[
        bool,
        typer.Option("--save-converted", help="Keep the converted images too, in OUT/converted."),
    ] = False,
    report: Annotated[
        bool,
        typer.Option("--report", help="Write OUT/report.html: the photographs before and after."),
    ] = False,
    no_tag: Annotated[
        bool,
        typer.Option("--no-tag", help="Leave out of the metadata what made the photographs."),
    ] = False,
    keep_dates: Annotated[
        bool, typer.Option("--keep-dates", help="Give results the dates of their sources.")
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
    sound. Photographs that are sharp already are copied as they are.

    Every file is accounted for at the end; where one could not be done, the exit code is 1.
    """
    from blur2blur import api
    from blur2blur.errors import ConfigError
    from blur2blur.images.listing import UNLISTED
    from blur2blur.inference import Pipeline, planning, watching
    from blur2blur.inference.video.codecs import Quality
    from blur2blur.showing import printable, progress_bars
    from blur2blur.weights import zoo

    if save_converted and zoo.pair(deblurrer, converter)[1] is None:
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
        "strength": strength,
    }

    def pipeline() -> Pipeline:
        return Pipeline(**options)

    if ray is not None or watch:
        if report:
            raise ConfigError("--report takes one run on one machine: leave out --watch and --ray")
        wanted = planning.Wanted(
            format=cast("Format", format_),
            quality=quality,
            suffix=suffix,
            save_converted=save_converted,
            leave_sharp=not everything,
            results=everything,
            overwrite=overwrite,
            live_photo_clips=live_photo_clips,
            clip_quality=Quality(codec=codec, crf=crf),
            tag=not no_tag,
            keep_dates=keep_dates,
        )
        if ray is not None:
            if watch or save_converted or suffix or keep_dates or format_ != "keep":
                raise ConfigError(
                    "--ray deblurs photographs once, under their names: leave out --watch, "
                    "--save-converted, --suffix, --format and --keep-dates"
                )
            clips_wanted = live_photo_clips or wanted.clip_quality != Quality()
            if skip_existing or overwrite or clips_wanted:
                raise ConfigError(
                    "--ray takes photographs alone, and never replaces a file: leave out "
                    "--skip-existing, --overwrite, --live-photo-clips, --codec and --crf"
                )
            _on_cluster(inputs, out, options, wanted, address=ray, cores=ray_cores)
        watching.deblur(
            inputs, Path(out), pipeline, wanted, tell=lambda line: typer.echo(printable(line))
        )
        return
    with progress_bars("photographs", "clips") as on_progress:
        done = api.deblur_folder(
            inputs,
            out,
            pipeline=pipeline,
            format=cast("Format", format_),
            quality=quality,
            suffix=suffix,
            skip_existing=skip_existing,
            everything=everything,
            overwrite=overwrite,
            live_photo_clips=live_photo_clips,
            save_converted=save_converted,
            clip_quality=Quality(codec=codec, crf=crf),
            tag=not no_tag,
            keep_dates=keep_dates,
            report=report,
            on_progress=on_progress,
        )
    _print(done, Path(out))
    if report:
        typer.echo(f"report: {printable(Path(out) / api.REPORT)}")
    if done.failures or any(each.reason.startswith(UNLISTED) for each in done.skipped):
        raise typer.Exit(1)


def _print(done: "Deblurred", out: Path) -> None:
    """Account for every file."""
    from blur2blur.showing import printable

    for kind, files, tried in (
        ("photographs", done.photographs, done.photographs_tried),
        ("clips", done.clips, done.clips_tried),
    ):
        if tried:
            where = "to" if kind == "clips" and files == [out] else "into"
            typer.echo(f"{len(files)} of {tried} {kind} deblurred {where} {printable(out)}")
    already = "already sharp, left as they are (--all deblurs them)"
    print_account("not deblurred", ((already, path) for path in done.left_sharp))
    print_account("not deblurred", (("done before", path) for path in done.done_before))
    print_account("done again", done.again)
    print_account("written", done.renamed)
    print_account("skipped", ((one.reason, one.path) for one in done.skipped))
    if done.failures:
        typer.echo("these failed:", err=True)
        for error in done.failures:
            typer.echo(f"  {printable(error)}", err=True)


def _on_cluster(
    inputs: list[str],
    out: str,
    options: dict[str, Any],
    wanted: "Wanted",
    *,
    address: str,
    cores: int,
) -> NoReturn:
    from blur2blur.inference import cluster
    from blur2blur.showing import printable, progress_bars

    with progress_bars("photographs") as on_progress:
        done, failures = cluster.deblur(
            inputs,
            out,
            options,
            wanted,
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
