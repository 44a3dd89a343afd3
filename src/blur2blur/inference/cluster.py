"""Archives on a cluster: photographs on disks or in object stores, deblurred by actors of Ray Data.

Ray schedules, restarts and holds back; pyarrow reads and writes. Here is what happens to one
photograph: it is fetched, deblurred as on one machine, and put where its output belongs, whole.
"""

import logging
import re
import tempfile
import warnings
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path, PurePosixPath
from typing import Any

from blur2blur import extras, images
from blur2blur.errors import Blur2BlurError, ConfigError, InputError
from blur2blur.files import atomic_path
from blur2blur.inference import batch, planning
from blur2blur.inference.pipeline import Pipeline
from blur2blur.inference.planning import Wanted

LOCAL = "local"
"""In place of a cluster's address: one on this machine alone."""

_BLOCK = 16
"""Photographs that an actor is given at once, at most: what is begun anew where one dies."""
_BLOCKS_PER_ACTOR = 4
"""At least, where there are so many photographs, so that all actors end at about the same time."""
_WAITING = 2
"""Blocks that an actor has, with the one that it does; with more the first has those of others."""
_RETRIES = 2


def deblur(
    inputs: Sequence[str],
    out: str,
    pipeline: Mapping[str, Any],
    wanted: Wanted,
    *,
    address: str,
    cores: int,
    on_progress: Callable[[int, int], object],
) -> tuple[int, list[str]]:
    """Deblur photographs of folders; outputs that are there are kept, and not made again.

    Args:
        inputs: folders and files, as paths that all machines have, or as addresses such as
            s3://bucket/folder.
        out: a folder, likewise.
        pipeline: what `Pipeline` is given on every machine.
        wanted: how photographs are written, and whether sharp ones are left as they are.
        address: of the cluster, as `ray.init` takes it; LOCAL for one on this machine.
        cores: of each actor on machines without GPUs; with them an actor has one GPU.
        on_progress: told (photographs done, in all).

    Returns:
        How many photographs have an output, and a line for each that has none.

    Raises:
        ConfigError: Ray is not installed, or the machines cannot do what is asked for.
        InputError: no such input, no photographs, two for one output, or no cluster there.
    """
    ray = extras.load("ray", purpose="--ray")
    extras.load("ray.data", purpose="--ray")
    jobs = _plan(inputs, out)
    there = {path for path, _ in _files(out, missing_ok=True)}
    todo = {each["source"]: each for each in jobs if there.isdisjoint(_results_of(each))}
    failures: list[str] = []
    try:
        if not ray.is_initialized():
            place = None if address == LOCAL else address
            ray.init(place, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, RuntimeError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise InputError(f"--ray {address}: no cluster that can be used: {reason}") from error
    # where an actor dies again and again, its block is lost: each of it then has a block of its own
    for block in (_BLOCK, 1):
        rows = list(todo.values())
        for result in (
            _results(ray, rows, (pipeline, wanted, out), block=block, cores=cores) if rows else ()
        ):
            if result["fatal"]:
                raise ConfigError(result["error"])
            del todo[result["source"]]
            if result["error"]:
                failures.append(result["error"])
            on_progress(len(jobs) - len(todo), len(jobs))
    failures += [f"{source}: its worker died, again and again; too large?" for source in todo]
    return len(jobs) - len(failures), failures


def _results(  # noqa: ANN202  (rows of Ray, which is not typed)
    ray: Any,  # noqa: ANN401
    rows: list[dict[str, str]],
    what: tuple[Mapping[str, Any], Wanted, str],
    *,
    block: int,
    cores: int,
):
    context = ray.data.DataContext.get_current()
    context.max_errored_blocks, context.enable_progress_bars = -1, False
    resources = ray.cluster_resources()
    pipeline, wanted, out = what
    gpus = int(resources.get("GPU", 0)) if pipeline.get("device") != "cpu" else 0
    cores = min(cores, int(resources.get("CPU", 1)))
    actors = gpus or int(resources.get("CPU", 1)) // cores
    blocks = max(-(-len(rows) // block), min(_BLOCKS_PER_ACTOR * actors, len(rows)))
    logging.getLogger("ray.data").setLevel(logging.ERROR)  # it tells of every step of its plan
    with warnings.catch_warnings():
        # how often is tried again can be said in no other way; unsaid, it is for ever
        warnings.filterwarnings("ignore", message=".*ray_remote_args")
        mapped = ray.data.from_items(rows, override_num_blocks=blocks).map(
            _Worker,
            fn_constructor_args=(dict(pipeline), wanted, out, version("blur2blur")),
            compute=ray.data.ActorPoolStrategy(
                min_size=1, max_size=actors, max_tasks_in_flight_per_actor=_WAITING
            ),
            max_task_retries=_RETRIES,
            **({"num_gpus": 1} if gpus else {"num_cpus": cores}),
        )
    return mapped.iter_rows()


class _Worker:
    """An actor: one pipeline, and what it needs to do a photograph."""

    def __init__(self, pipeline: Mapping[str, Any], wanted: Wanted, out: str, driver: str) -> None:
        self._fatal, self._out, self._wanted = "", out, wanted
        own = version("blur2blur")
        if own != driver:
            self._fatal = (
                f"a machine of the cluster has blur2blur {own}, this one {driver}; install the "
                "same version on all"
            )
            return
        try:
            self._pipeline = Pipeline(**pipeline)
        except Blur2BlurError as error:
            self._fatal = f"on a machine of the cluster: {error}"

    def __call__(self, job: dict[str, str]) -> dict[str, Any]:
        error = self._fatal
        if not error:
            try:
                self._do(job)
            except (Blur2BlurError, OSError) as reason:
                error = _shown(f"{job['source']}: {' '.join(str(reason).split())}")
        return {"source": job["source"], "error": error, "fatal": bool(self._fatal)}

    def _do(self, job: dict[str, str]) -> None:
        store, _ = _store(job["address"])
        results, _ = _store(self._out)
        if any(each.is_file for each in results.get_file_info(_results_of(job))):
            return  # by an actor that died after it
        with tempfile.TemporaryDirectory() as name:
            before = store.get_file_info(job["source"])
            source = Path(name, "in", PurePosixPath(job["source"]).name)
            source.parent.mkdir()
            with store.open_input_stream(job["source"]) as stream:
                source.write_bytes(stream.read())
            after = store.get_file_info(job["source"])
            if (before.size, before.mtime_ns) != (after.size, after.mtime_ns):
                raise InputError("changed while it was read; run the same command again")
            planned = planning.plan([str(source)], Path(name, "out"), self._wanted)
            done = batch.carry_out(
                planned, self._pipeline, self._wanted, skip_existing=False, on_progress=_ignore
            )
            for error in done.failures:
                raise InputError(str(error).replace(f"{source}", "it"))
            (made,) = images.find_images(Path(name, "out"))
            _put(results, str(PurePosixPath(job["output"]).with_name(made.name)), made.read_bytes())


def _ignore(what: str, done: int, total: int | None) -> None: ...


def _results_of(job: Mapping[str, str]) -> list[str]:
    """Return what a photograph's output may be called: a sharp one keeps its name."""
    return [job["output"], job["kept"]]


def _put(store: Any, path: str, content: bytes) -> None:  # noqa: ANN401
    """Write a file that is whole or not there: object stores do that, disks by a renaming."""
    if store.type_name == "local":
        with atomic_path(Path(path)) as temporary:
            temporary.write_bytes(content)
        return
    store.create_dir(str(PurePosixPath(path).parent), recursive=True)
    stream = store.open_output_stream(path)
    stream.write(content)  # closing, which publishes it, is left out where this fails
    stream.close()


def _store(address: str) -> tuple[Any, str]:
    """Return pyarrow's file system of an address or path, and the path in it."""
    fs: Any = extras.load("pyarrow.fs", purpose="--ray")

    try:
        if "://" not in address:
            return fs.LocalFileSystem(), str(Path(address).absolute())
        return fs.FileSystem.from_uri(address)
    except (OSError, ValueError) as error:
        raise InputError(_shown(f"{address} is no address of a store: {error}")) from error


def _shown(text: str) -> str:
    """Return a text without the names and secrets that addresses in it begin with."""
    return re.sub(r"(?<=://)[^/@?\s]*@", "", text)


def _files(address: str, *, missing_ok: bool = False) -> list[tuple[str, PurePosixPath]]:
    """Return (path, place below the address) of all files there.

    Raises:
        InputError: nothing there, unless that may be, no right to look, or no store that answers.
    """
    fs: Any = extras.load("pyarrow.fs", purpose="--ray")

    store, root = _store(address)
    try:
        info = store.get_file_info(root)
        if info.type == fs.FileType.File:
            return [(root, PurePosixPath(PurePosixPath(root).name))]
        selector = fs.FileSelector(root, recursive=True, allow_not_found=missing_ok)
        found = [each.path for each in store.get_file_info(selector) if each.is_file]
    except OSError as error:
        reason = " ".join(str(error).split())
        raise InputError(_shown(f"{address} cannot be listed: {reason}")) from error
    return [(path, PurePosixPath(path).relative_to(root)) for path in sorted(found)]


def _plan(inputs: Sequence[str], out: str) -> list[dict[str, str]]:
    results, root = _store(out)
    jobs: dict[str, dict[str, str]] = {}
    for address in inputs:
        store, _ = _store(address)
        for path, place in _files(address):
            is_result = store.type_name == results.type_name and path.startswith(f"{root}/")
            hidden = any(part.startswith(".") for part in place.parts)
            if is_result or hidden or place.suffix.lower() not in images.SUFFIXES:
                continue
            output = str(PurePosixPath(root) / images.output_name(place, "keep"))
            kept = str(PurePosixPath(root) / place)
            job = {"address": address, "source": path, "output": output, "kept": kept}
            other = jobs.setdefault(output, job)
            if other["source"] != path:
                raise InputError(f"{other['source']} and {path} would both be written to {output}")
            if output == path:
                raise InputError(f"{path} would be overwritten; choose another folder")
    if not jobs:
        raise InputError(f"no images in {', '.join(map(_shown, inputs))}")
    return list(jobs.values())
