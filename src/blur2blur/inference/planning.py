"""What becomes of the inputs: which file is made of which, decided before anything is done."""

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path, PurePath
from typing import get_args

from blur2blur import extras, images
from blur2blur.errors import ConfigError, InputError, listed
from blur2blur.files import refuse_file_in_the_way
from blur2blur.images import Format, listing
from blur2blur.images.listing import Skipped
from blur2blur.inference import inputs as searching
from blur2blur.inference import manifest
from blur2blur.inference.inputs import Source
from blur2blur.inference.video import animations
from blur2blur.inference.video.codecs import WRITTEN_SUFFIXES, Quality
from blur2blur.inference.video.reading import SUFFIXES as CLIP_SUFFIXES
from blur2blur.inference.video.reading import has_av, require_av

CONVERTED_FOLDER = "converted"

# Containers that are read but not written become this one, which holds any sound.
_OTHER_CONTAINER = ".mkv"


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One photograph or clip and the files made of it.

    Attributes:
        source: the file.
        output: the result.
        converted: the converted photograph; None where it is not asked for.
        kept: the photograph where it is left as it is, which may be its own file.
    """

    source: Path
    output: Path
    converted: Path | None = None
    kept: Path | None = None

    @property
    def files(self) -> tuple[Path, ...]:
        """All that may be made of it, each once."""
        return tuple(dict.fromkeys(filter(None, (self.output, self.converted, self.kept))))


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """How outputs are named and which inputs are taken: options of `blur2blur deblur`.

    Attributes:
        format: of photographs; "keep" is that of each.
        quality: of JPEG, WebP and AVIF, 1 to 100; None for that of each photograph.
        suffix: text behind the stem of every result's name.
        save_converted: name a file for the converted photograph too, in the folder `converted` of
            the output folder.
        leave_sharp: name a file for a photograph that is left as it is.
        results: take the results of earlier runs too.
        overwrite: replace files in the output folder that no run has made.
        live_photo_clips: take the clips of Live Photos too.
        clip_quality: codec and quality of clips.
        tag: say in the metadata of photographs how they were made.
        keep_dates: give results the dates of their sources.
        measure: estimate and measure what is done to each photograph.
    """

    format: Format = "keep"
    quality: int | None = None
    suffix: str = ""
    save_converted: bool = False
    leave_sharp: bool = False
    results: bool = False
    overwrite: bool = False
    live_photo_clips: bool = False
    clip_quality: Quality = field(default_factory=Quality)
    tag: bool = True
    keep_dates: bool = False
    measure: bool = False

    def check(self) -> None:
        """Raise ConfigError for a format, quality, suffix of names or codec that cannot be."""
        if self.format not in get_args(Format):
            raise ConfigError(f"format '{self.format}': choose {', '.join(get_args(Format))}")
        if self.quality is not None and not 1 <= self.quality <= 100:
            raise ConfigError(f"quality {self.quality}: it goes from 1 to 100")
        if {"/", "\\", "\0"} & set(self.suffix):
            raise ConfigError(
                f"suffix '{self.suffix}': it becomes part of file names, such as _sharp"
            )
        self.clip_quality.check()


DEFAULTS = Wanted()


@dataclass(slots=True, kw_only=True)
class Plan:
    """What is to be done, and what is passed over.

    Attributes:
        photographs: to be deblurred.
        clips: likewise.
        skipped: files that are passed over, and why.
        folder: the output folder; None where the output was named as a file, so that what fails
            is the whole command's failure.
    """

    photographs: list[Job]
    clips: list[Job]
    skipped: list[Skipped]
    folder: Path | None


def plan(
    inputs: Sequence[str],
    out: Path,
    wanted: Wanted = DEFAULTS,
    *,
    may_be_empty: bool = False,
    on_listed: Callable[[int], None] = lambda count: None,
) -> Plan:
    """Find the photographs and clips, and name their outputs; writes nothing.

    Args:
        inputs: as `inputs.find` takes them.
        out: the output folder; or the name of a photograph or clip, of one input of that kind.
        wanted: how outputs are named and which inputs are taken.
        may_be_empty: folders without photographs or clips are an empty plan.
        on_listed: as in `inputs.find`.

    Raises:
        InputError: an input that is not there or holds nothing, an output that would overwrite an
            input or a file that no run has made, two inputs for one output, or a file where `out`
            should be.
        ConfigError: a suffix, codec or container that cannot be; one clip without the extra
            `video`.
    """
    wanted.check()
    if not inputs:
        raise InputError("no inputs; name files, folders or globs")
    if names_file(inputs, out):
        made = _one_file(inputs[0], out, wanted)
    else:
        refuse_file_in_the_way(out)
        found = searching.find(
            inputs,
            out,
            results=wanted.results,
            live_photo_clips=wanted.live_photo_clips,
            on_listed=on_listed,
        )
        made = _into_folder(
            found, out, wanted, alone=len(inputs) == 1 and Path(inputs[0]).is_file()
        )
    _refuse_overwriting(made)
    if made.folder is not None and made.folder.exists() and not wanted.overwrite:
        _refuse_replacing(made, made.folder)
    for job in made.clips:
        if not animations.is_kept(job.source, job.output):
            wanted.clip_quality.check_container(job.output)
    if wanted.save_converted and made.clips and not made.photographs:
        raise ConfigError("--save-converted keeps photographs, not clips; leave it out")
    if not (made.photographs or made.clips or may_be_empty):
        raise InputError(_nothing(inputs, made.skipped))
    return made


def names_file(inputs: Sequence[str], out: Path) -> bool:
    """Tell whether an output is a file, not a folder.

    Raises:
        InputError: several inputs for it, or of a kind that is read and not written.
    """
    suffix = out.suffix.lower()
    first = Path(inputs[0])
    if out.is_dir() or not suffix:
        return False
    kind = "photograph" if suffix in images.WRITTEN_SUFFIXES else None
    kind = "clip" if suffix in CLIP_SUFFIXES else kind
    if kind is None and suffix in images.SUFFIXES and not searching.is_clip(first):
        raise InputError(
            f"{out} cannot be written: no photograph is stored as {suffix}; choose "
            f"{' '.join(sorted(images.WRITTEN_SUFFIXES))}, or a folder"
        )
    alone = len(inputs) == 1 and first.is_file()
    if alone and (kind or searching.is_clip(first)):
        return True
    if kind is None:
        return False
    if len(inputs) == 1 and not first.exists() and not searching.has_wildcard(inputs[0]):
        raise InputError(f"no file or folder {first}")
    raise InputError(
        f"{out} is the name of a {kind}, which takes one {kind} as input; choose a folder for "
        "anything else"
    )


def _one_file(text: str, out: Path, wanted: Wanted) -> Plan:
    source = Path(text)
    if wanted.format != "keep" or wanted.suffix:
        raise ConfigError(
            f"{out} is a whole name; leave out --format and --suffix, or name a folder"
        )
    refuse_file_in_the_way(out.parent)
    if searching.is_clip(source):
        if not animations.is_kept(source, out):
            require_av()
        return Plan(photographs=[], clips=[Job(source=source, output=out)], skipped=[], folder=None)
    if out.suffix.lower() not in images.WRITTEN_SUFFIXES:
        raise InputError(
            f"{out} is the name of a clip, which takes one clip as input; choose a folder for "
            "anything else"
        )
    job = Job(
        source=source,
        output=out,
        converted=out.parent / CONVERTED_FOLDER / out.name if wanted.save_converted else None,
        kept=out if wanted.leave_sharp else None,
    )
    return Plan(photographs=[job], clips=[], skipped=[], folder=None)


def _into_folder(found: searching.Found, out: Path, wanted: Wanted, *, alone: bool) -> Plan:
    made = Plan(photographs=[], clips=[], skipped=found.skipped, folder=out)
    can_read_clips = has_av()
    for source in found.sources:
        if not source.is_clip:
            made.photographs.append(_photograph(source, out, wanted))
            continue
        output = out / _with_suffix(_clip_name(source), wanted.suffix)
        if can_read_clips or animations.is_kept(source.path, output):
            made.clips.append(Job(source=source.path, output=output))
        elif alone:
            require_av()
        else:
            reason = f"clip, which needs the package av ({extras.install('video')})"
            made.skipped.append(Skipped(path=source.path, reason=reason))
    return made


def _photograph(source: Source, out: Path, wanted: Wanted) -> Job:
    place = _with_suffix(images.output_name(source.place, wanted.format), wanted.suffix)
    return Job(
        source=source.path,
        output=out / place,
        converted=out / CONVERTED_FOLDER / place if wanted.save_converted else None,
        kept=out / source.place if wanted.leave_sharp else None,
    )


def _clip_name(source: Source) -> PurePath:
    """Return the name of a result; a further suffix, as photographs get it, collides with none."""
    place = source.place
    if place.suffix.lower() in WRITTEN_SUFFIXES or animations.is_kept(source.path, place):
        return place
    return place.with_name(place.name + _OTHER_CONTAINER)


def _with_suffix(place: PurePath, text: str) -> PurePath:
    return place.with_stem(place.stem + text) if text else place


def _refuse_overwriting(made: Plan) -> None:
    """Raise InputError where a file would be made of two inputs, or in the place of an input.

    The same input twice is done once.
    """
    place_of = _places()
    owners: dict[str, tuple[Job, str]] = {}
    for jobs in (made.photographs, made.clips):
        once: dict[tuple[str, str], Job] = {}
        for job in jobs:
            source = place_of(str(job.source))
            once.setdefault((str(job.output), source), job)
            for path in job.files:
                owner, place = owners.setdefault(str(path), (job, source))
                if place != source:
                    raise InputError(
                        f"{owner.source} and {job.source} would both be written to {path}; run "
                        "them separately, with an output folder each"
                    )
        jobs[:] = once.values()
    sources = {source for _, source in owners.values()}
    for path, (job, source) in owners.items():
        place = place_of(path)
        if place in sources and not (path == str(job.kept) != str(job.output) and place == source):
            raise InputError(
                f"{path} is an input and would be overwritten; choose another folder, or a "
                "--suffix for the names"
            )


def _refuse_replacing(made: Plan, out: Path) -> None:
    """Raise InputError where a file lies in the way that no run has made."""
    ours = manifest.made_in(out)
    strange = {
        path: None
        for job in (*made.photographs, *made.clips)
        for path in job.files
        if str(path) not in ours and path.exists() and not path.samefile(job.source)
    }
    if strange:
        raise InputError(
            f"{listed([str(path) for path in strange])}: there already, and not made by blur2blur; "
            "choose another folder, or --overwrite replaces what is there"
        )


def _places() -> Callable[[str], str]:
    """Return what tells where a file really lies, links followed; it looks into folders once."""

    @cache
    def folder(path: str) -> tuple[str, frozenset[str]]:
        try:
            with os.scandir(path or ".") as entries:
                links = frozenset(entry.name for entry in entries if entry.is_symlink())
        except OSError:  # it is made later
            links = frozenset[str]()
        return os.path.realpath(path), links

    def place(path: str) -> str:
        parent, name = os.path.split(path)
        real, links = folder(parent)
        return os.path.realpath(path) if name in links else f"{real}{os.sep}{name}"

    return place


def _nothing(inputs: Iterable[str], skipped: Sequence[Skipped]) -> str:
    """Say that nothing is to be done, and why."""
    where = ", ".join(inputs)
    reasons = listing.by_reason((one.reason, one.path) for one in skipped)
    if not reasons:
        return f"no images in {where} (sought: {' '.join(sorted(images.SUFFIXES))})"
    told = "; ".join(f"{count} {reason}, first {path}" for reason, count, path in reasons)
    return f"no images in {where}: skipped {told}"
