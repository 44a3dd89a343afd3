"""`test.py`: the published test command: testA through a converter, and a page to look at."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from blur2blur.cli.deblur import run_with_progress
from blur2blur.cli.main import guard
from blur2blur.errors import ConfigError, DataError
from blur2blur.reference import weight_files
from blur2blur.reference.parser import Options, choose_gpu, parse, run_folder_of

if TYPE_CHECKING:
    from blur2blur.evaluation.report import Score
    from blur2blur.inference.folder import Job
    from blur2blur.inference.pipeline import Pipeline

INPUT, CONVERTED, DEBLURRED, TRUTH = "input", "converted", "deblurred", "truth"
_MAX_SHOWN = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """The scores of a test, empty where there is no truth."""

    means: Sequence["Score"] = ()
    of_photograph: Mapping[str, Sequence["Score"]]
    truths: Mapping[str, Path]
    notes: Sequence[str] = ()


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
    jobs = _jobs(options, out)
    pipeline = _pipeline(options, run, device)

    failures = run_with_progress(pipeline, jobs)
    failed = {failure.job.source for failure in failures}
    done = [job for job in jobs if job.source not in failed]
    measured = _measure(options, done)
    _write_page(options, out, done, measured, [str(failure.error) for failure in failures])
    for note in measured.notes:
        typer.echo(f"note: {note}", err=True)
    for mean in measured.means:
        typer.echo(f"{mean.method}: {mean.psnr_db:.2f} dB, SSIM {mean.ssim:.4f}")
    typer.echo(f"{len(done)} of {len(jobs)} photographs converted; page: {out / 'index.html'}")
    if failures:
        typer.echo("these failed:", err=True)
        for failure in failures:
            typer.echo(f"  {failure.error}", err=True)
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
    from blur2blur.inference import folder

    photographs = Path(options.text("dataroot")) / f"{options.text('phase')}A"
    if not photographs.is_dir():
        raise DataError(
            f"no folder {photographs}; --phase {options.text('phase')} converts its photographs"
        )
    placing.refuse_inside(out, photographs)
    jobs = folder.plan([str(photographs)], out / "images", save_converted=False)
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
    )


def _measure(options: Options, done: "Sequence[Job]") -> Measured:
    """Compare with the truth, where there is a folder of it with names of the photographs."""
    from blur2blur import evaluation, images

    root, phase = Path(options.text("dataroot")), options.text("phase")
    truth = root / f"{phase}B"
    if not truth.is_dir():
        return Measured(of_photograph={}, truths={})
    truths: dict[str, list[Path]] = {}
    for path in images.find_images(truth):
        truths.setdefault(_name(path, truth), []).append(path)
    jobs: dict[str, list[Job]] = {}
    for job in done:
        jobs.setdefault(_name(job.source, root / f"{phase}A"), []).append(job)

    files: dict[str, dict[str, Path]] = {}
    problems: list[str] = []
    for name in jobs:
        found = truths.get(name, [])
        if len(jobs[name]) == len(found) == 1:
            (job,), (sharp,) = jobs[name], found
            files[name] = {
                evaluation.INPUT: job.source,
                evaluation.OUTPUT: job.output,
                evaluation.TRUTH: sharp,
            }
        elif found:
            sources = ", ".join(str(path) for path in [*(job.source for job in jobs[name]), *found])
            problems.append(f"{name}: more than one pair shares the name: {sources}")
    without = [name for name in jobs if name not in truths]
    if without:
        problems.append(f"{len(without)} without a truth in {truth}, such as {without[0]}")

    report = evaluation.measure(files)
    result = DEBLURRED if options.text("deblurrer") else CONVERTED
    return Measured(
        means=_renamed(report.means, result),
        of_photograph={row.name: _renamed(row.scores, result) for row in report.rows},
        truths={row.name: row.files[evaluation.TRUTH] for row in report.rows},
        notes=[f"not measured: {problem}" for problem in problems + report.problems] + report.notes,
    )


def _name(path: Path, folder: Path) -> str:
    return path.relative_to(folder).with_suffix("").as_posix()


def _renamed(scores: "Sequence[Score]", result: str) -> "list[Score]":
    return [
        replace(score, method=result) if score.method == "output" else score for score in scores
    ]


def _write_page(
    options: Options,
    out: Path,
    done: "Sequence[Job]",
    measured: Measured,
    failures: Sequence[str],
) -> None:
    from blur2blur.evaluation.report import Comparison, write_report

    photographs = Path(options.text("dataroot")) / f"{options.text('phase')}A"
    shown = done if len(done) <= _MAX_SHOWN else done[:: -(-len(done) // _MAX_SHOWN)]
    comparisons: list[Comparison] = []
    for job in shown:
        name = _name(job.source, photographs)
        pictures = {INPUT: job.source, CONVERTED: job.converted or job.output}
        if job.converted is not None:
            pictures[DEBLURRED] = job.output
        if name in measured.truths:
            pictures[TRUTH] = measured.truths[name]
        scores = measured.of_photograph.get(name, ())
        place = job.source.relative_to(photographs).as_posix()
        comparisons.append(Comparison(name=place, pictures=pictures, scores=scores))
    notes = [*measured.notes, *(f"not converted: {failure}" for failure in failures)]
    if len(shown) < len(done):
        names = ", ".join(job.source.relative_to(photographs).as_posix() for job in done)
        notes.append(f"{len(shown)} of {len(done)} photographs are shown. All: {names}")
    for old in (out / "index_files").glob("[0-9]*-[0-9]*-*.*"):
        old.unlink()
    write_report(
        out / "index.html",
        title=f"{options.text('name')}, {options.text('phase')}, {out.name.partition('_')[2]}",
        scores=measured.means,
        comparisons=comparisons,
        shown=(INPUT, DEBLURRED if options.text("deblurrer") else CONVERTED),
        notes=notes,
    )
