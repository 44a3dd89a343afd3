"""`test.py`: the published test command: testA through a converter, and a page to look at."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from blur2blur.cli.main import guard
from blur2blur.errors import ConfigError, DataError
from blur2blur.reference import weight_files
from blur2blur.reference.parser import Options, choose_gpu, parse, run_folder_of
from blur2blur.showing import printable, progress_bars

if TYPE_CHECKING:
    from blur2blur.evaluation import Report
    from blur2blur.inference.pipeline import Pipeline
    from blur2blur.inference.planning import Job

_PAGE = "index.html"


def main() -> None:
    """Run the command line. A user's mistake exits with 2."""
    guard(lambda: test(sys.argv[1:]))


def test(arguments: Sequence[str]) -> None:
    """Convert the photographs of a phase, and write a page that shows them.

    Args:
        arguments: the command line, without the script's name.

    Raises:
        Blur2BlurError: a user's mistake. typer.Exit: single photographs failed, the code is 1.
    """
    options = parse("test", arguments)
    run = run_folder_of(options)
    device, notes = choose_gpu(options)
    for note in [*options.notes, *notes]:
        typer.echo(f"note: {note}", err=True)
    out = _results_folder(options, run.name)
    truths = _truths(options)
    jobs = _jobs(options, out)
    pipeline = _pipeline(options, run, device)

    from blur2blur import evaluation
    from blur2blur.inference import batch

    with progress_bars("photographs") as on_progress:
        failures = batch.deblur_photographs(pipeline, jobs, on_progress).failures
    failed = {failure.job.source for failure in failures}
    report = _measure(options, truths, [job for job in jobs if job.source not in failed])
    not_converted = [f"not converted: {failure.error}" for failure in failures]
    report = replace(report, problems=[*report.problems, *not_converted])
    title = f"{options.text('name')}, {options.text('phase')}, {out.name.partition('_')[2]}"
    evaluation.write(report, out, page=_PAGE, title=title)
    for problem in report.problems:
        typer.echo(f"not measured: {printable(problem)}", err=True)
    for mean in report.means:
        psnr, ssim = evaluation.number(mean.psnr_db, 2), evaluation.number(mean.ssim, 4)
        typer.echo(f"{mean.method}: PSNR {psnr}, SSIM {ssim}")
    done = len(jobs) - len(failures)
    typer.echo(f"{done} of {len(jobs)} photographs converted; page: {out / _PAGE}")
    if failures:
        raise typer.Exit(1)


def _results_folder(options: Options, name: str) -> Path:
    iteration = options.whole("load_iter")
    folder = f"{options.text('phase')}_{options.text('epoch')}"
    return (
        Path(options.text("results_dir"))
        / name
        / (f"{folder}_iter{iteration}" if iteration > 0 else folder)
    )


def _jobs(options: Options, out: Path) -> "list[Job]":
    """Name the outputs. Raises DataError or InputError where there is nothing to convert."""
    from blur2blur.data.folders import placing
    from blur2blur.inference import planning

    photographs = Path(options.text("dataroot")) / f"{options.text('phase')}A"
    if not photographs.is_dir():
        raise DataError(
            f"no folder {photographs}; --phase {options.text('phase')} converts its photographs"
        )
    placing.refuse_inside(out, photographs)
    wanted = planning.Wanted(results=True, overwrite=True)
    jobs = planning.plan([str(photographs)], out / "images", wanted).photographs
    jobs = jobs[max(0, options.whole("delta")) :]
    for name in ("num_test", "max_dataset_size"):
        if options.whole(name) >= 0:
            jobs = jobs[: options.whole(name)]
    if not jobs:
        raise ConfigError("--delta, --num_test and --max_dataset_size leave no photograph")
    if not options.text("deblurrer"):
        return jobs
    images = out / "images"
    return [
        replace(
            job, output=out / "deblurred" / job.output.relative_to(images), converted=job.output
        )
        for job in jobs
    ]


def _pipeline(options: Options, run: Path, device: str) -> "Pipeline":
    from blur2blur.inference.pipeline import Pipeline
    from blur2blur.weights import loading

    weights = weight_files.find_converter(run, options.text("epoch"), options.whole("load_iter"))
    wanted = options.text("netG") if "netG" in options.given else None
    converter = weight_files.load_converter(weights, wanted)
    deblurrer = options.text("deblurrer")
    return Pipeline(
        loading.load_deblurrer(deblurrer) if deblurrer else converter,
        converter if deblurrer else None,
        device=device,
        precision="fp32",  # as the published code computes
        batch_size=options.whole("batch_size"),
        scale="1",
    )


def _truths(options: Options) -> dict[str, Path]:
    """Return the truth by name, none where there is no folder of it; raises as `by_name`."""
    from blur2blur import evaluation

    folder = Path(options.text("dataroot")) / f"{options.text('phase')}B"
    return evaluation.by_name(folder) if folder.is_dir() else {}


def _measure(options: Options, truths: Mapping[str, Path], done: "Sequence[Job]") -> "Report":
    """Compare with the truth of equal name, where there is one."""
    from blur2blur import evaluation

    photographs = Path(options.text("dataroot")) / f"{options.text('phase')}A"
    files: dict[str, dict[str, Path]] = {}
    without: list[str] = []
    for job in done:
        place = job.source.relative_to(photographs)
        shown = {evaluation.INPUT: job.source, evaluation.OUTPUT: job.output}
        if job.converted is not None:
            shown[evaluation.CONVERTED] = job.converted
        name = place.with_suffix("").as_posix()
        if name in truths:
            shown[evaluation.TRUTH] = truths[name]
        else:
            without.append(name)
        files[place.as_posix()] = shown
    report = evaluation.measure(files)
    if not truths or not without:
        return report
    problem = f"{len(without)} without a truth, such as {without[0]}"
    return replace(report, problems=[problem, *report.problems])
