"""Every sentence of the page, in English."""

import math
from pathlib import Path

from blur2blur.weights.verdict import Verdict

TITLE = "blur2blur"
LEAD = (
    "Takes the blur out of photographs. Everything happens on this machine: no picture leaves it."
)

TAB_DEBLUR = "Deblur"
DROP = "Photographs or clips"
CAMERA = "Taken with"
ANY_CAMERA = "Any camera"
CAMERA_INFO = "A camera that you taught on the second page shows up here."
START = "Deblur"
STOP = "Stop"
STOPPED = "Stopped. What was finished is below."
ENDED = "Stopped before the photograph was finished."
PREPARING = "getting ready"
RESULTS = "Finished: choose one to look at"
LOOK = "Before and after"
STRENGTH = "Strength"
STRENGTH_INFO = "0 leaves the photograph as it was."
ZOOM = "Look at"
WHOLE, ACTUAL = "Whole picture", "100 %"
ACROSS, DOWN = "Left to right", "Top to bottom"
SAVE_ONE = "Download this one"
SAVE_ALL = "Download all (zip)"
DETAILS = "Details"
SCALE = "Work at"
SCALE_INFO = "Strong blur comes off better in a smaller copy; the change is then enlarged."
SCALES = (
    ("Full size", "1"),
    ("Half size", "1/2"),
    ("A third", "1/3"),
    ("A quarter", "1/4"),
    ("Chosen by the blur", "auto"),
)
EVERYTHING = "Deblur photographs that are sharp already, too (`--all`)"
NOTHING_DROPPED = "Drop a photograph first."
NO_CAMERA = "There is no camera of that name here; choose one of the list, or none."
CLIP = "The clip, deblurred"

TAB_CAMERA = "My camera"
CAMERA_LEAD = (
    "Teach it your camera: give it some photographs that came out blurry and some that are sharp, "
    "of different moments. A few dozen of each are good; a dozen in all is the least."
)
DROP_CAMERA = "Photographs of your camera"
FOLDER = "or a folder on this machine"
FOLDER_INFO = "Its full path, such as /home/me/Pictures/trip. The photographs stay where they are."
SORT = "Sort them"
SORTING = "Sorting into blurry and sharp"
CHECKING = "Looking at every photograph"
UNSURE = (
    "Too few photographs, or too alike, to tell blurry from sharp for sure: the blurrier half is "
    "on the left. Please correct it."
)
SORTED = "Click a photograph to move it."
BLURRY, SHARP, LEFT_OUT = "Blurry", "Sharp", "Left out"
CLICK_MOVES = "A click"
TO_OTHER, TO_LEFT_OUT = "moves it to the other side", "leaves it out"
NAME = "Name of the camera"
NAME_INFO = "Letters, digits and spaces, such as my phone."
TEACH = "Teach it"
CONTINUE = "Go on"
NEW_CAMERA = "Another camera"
CURVE = "Quality on test pictures of your camera (dB, higher is better)"
ANY, YOURS = "any camera", "yours"
SAVE_PAGE = "Download your photographs before and after (a page)"
SHEET = "Your own photographs: as they were, deblurred for any camera, deblurred for yours"
BAD_NAME = "A name has up to 40 letters, digits, spaces, - and _, and begins with a letter."
TRAINING_ELSEWHERE = "Another camera is being taught; wait until that is finished, or stop it."
TRAINING_DIED = "The training ended without saying why; is there enough memory?"
NEEDS_TORCH = "Teaching a camera needs more software than deblurring does. In a terminal: {command}"

NOT_UPLOADED = "That file was not uploaded to this page."
NO_LENGTH = "The upload does not say how large it is."
DISK_FULL = (
    "There is no room for more photographs at the moment: use fewer at once, or come back later."
)
SIGN_IN = "Any user name, and the password that the page was started with."


def bytes_text(count: float) -> str:
    """Return a size as people say it."""
    return f"{count / 1e6:.0f} MB" if count < 1e9 else f"{count / 1e9:.0f} GB"


def limits(file_bytes: int, pixels: int, disk_bytes: int, age_s: int, waiting: int) -> str:
    """Return what the page accepts, in one line."""
    return (
        "<small>"
        f"Files of up to {bytes_text(file_bytes)} and {pixels / 1e6:.0f} million pixels; "
        f"{bytes_text(disk_bytes)} for everybody's together; deleted when you close the page, at "
        f"the latest after {age_s / 3600:.0f} hours; {waiting} may wait in line.</small>"
    )


def too_many_pixels(width: int, height: int, limit: int) -> str:
    """Refuse a photograph."""
    return (
        f"it is {width} x {height}; this page takes up to {limit / 1e6:.0f} million pixels. The "
        "command 'blur2blur deblur' has no such limit"
    )


def too_many_files(count: int, limit: int) -> str:
    """Refuse an upload."""
    return f"{count} files at once; this page takes {limit}. Give it a part of them at a time."


def too_large(name: str, limit: int) -> str:
    """Refuse an upload."""
    return f"{name} is too large; this page takes files of up to {bytes_text(limit)}."


def of_error(error: Exception, path: Path, name: str) -> str:
    """Return an error with the visitor's own name of the file, not where the page keeps it."""
    text = " ".join(str(error).split()).replace(str(path), name).replace(path.name, name)
    return text.replace(f"{name} cannot be read: ", "") if text.startswith(name) else text


def duration(seconds: float) -> str:
    """Return a time that is left, roughly."""
    if seconds < 90:
        return f"about {max(1, round(seconds))} seconds"
    return f"about {math.ceil(seconds / 60)} minutes"


def progress(number: int, count: int, name: str, left_s: float | None) -> str:
    """Tell how far it is."""
    which = f"{name} ({number} of {count})" if count > 1 else name
    return f"{which}, {duration(left_s)} left" if left_s is not None else which


def done(finished: int, failures: list[tuple[str, str]]) -> str:
    """Tell what became of the photographs, in Markdown."""
    lines = [f"{finished} finished."] if finished else []
    lines += [f"**{_escaped(name)}** could not be done: {_escaped(why)}" for name, why in failures]
    return "\n\n".join(lines)


def _escaped(text: str) -> str:
    return "".join(f"&#{ord(char)};" if char in "<>&*_[]()`#|\\" else char for char in text)


def about(name: str, blur_px: float | None, factor: int, *, left_sharp: bool) -> str:
    """Tell of one result, in Markdown."""
    if left_sharp:
        return f"**{_escaped(name)}** is sharp already, and left as it is."
    if blur_px is None:
        return f"**{_escaped(name)}**, at full strength: it moves"
    size = "full size" if factor == 1 else f"1/{factor} of its size"
    extent = (
        "hardly any blur was found" if blur_px < 1.5 else f"its blur reaches about {blur_px:.0f} px"
    )
    return f"**{_escaped(name)}**: {extent}; worked at {size}."


def plain(text: str) -> str:
    """Return what the command says of a data folder, in words of this page."""
    for jargon, word in (
        ("trainA and trainB", "the blurry and the sharp ones"),
        ("trainA", "the blurry ones"),
        ("trainB", "the sharp ones"),
        ("testA", "the blurry ones"),
        ("a converter", "it"),
        ("crop of", "smallest useful side of"),
        ("choose a smaller crop", "use larger ones"),
    ):
        text = text.replace(jargon, word)
    return text[:1].upper() + text[1:]


def name_taken(name: str) -> str:
    """Refuse a name."""
    return f"There is a camera called {name} already; choose another name."


def few_of_a_kind(blurry: int, sharp: int) -> str:
    """Refuse a sorting."""
    return f"{blurry} blurry and {sharp} sharp photographs: at least 2 of each are needed."


def sorted_counts(blurry: int, sharp: int, left_out: int, unreadable: int) -> str:
    """Tell of a sorting."""
    more = f", {unreadable} cannot be read" if unreadable else ""
    return f"{blurry} blurry, {sharp} sharp, {left_out} left out{more}. {SORTED}"


def minutes_needed(minutes: float) -> str:
    """Tell how long the training takes, before it starts."""
    return f"Teaching takes about {max(1, math.ceil(minutes))} minutes on this machine."


def training(name: str, step: int, steps: int, left_s: float | None) -> str:
    """Tell how far a training is, in Markdown."""
    if not step:
        return f"**{name}**: looking at your photographs, and for cameras that are like yours..."
    if step == steps:
        return f"**{name}**: taught; trying it on your own photographs..."
    left = f", {duration(left_s)} left" if left_s is not None else ""
    return f"**{name}**: step {step} of {steps}{left}. You may close this page; it goes on."


def paused(name: str, step: int, steps: int) -> str:
    """Tell of a training that does not run."""
    if not step:
        return f"**{name}**: not begun yet."
    return f"**{name}**: stopped at step {step} of {steps}. 'Go on' takes it up again."


def verdict(name: str, found: Verdict) -> str:
    """Tell whether it helped, in Markdown."""
    if found.helped:
        head = (
            f"### It helped\n**{name}** is now in the list on the first page. On test pictures "
            "that look like your camera's it does better than what is made for any camera"
        )
    else:
        head = (
            "### It did not help\nWhat is made for any camera does your photographs as well or "
            f"better, so **{name}** uses that"
        )
    gain = found.own_psnr_db - found.shipped_psnr_db
    return (
        f"{head} ({gain:+.1f} dB). In a terminal: `blur2blur deblur PHOTOS -o OUT --converter "
        f'"{name}"`'
    )


def verdict_details(found: Verdict) -> str:
    """Return the numbers, in Markdown."""
    rows = [
        ("Simulated pairs of your camera, dB (higher is better)", "psnr_db", ".2f"),
        ("Blur left in your own photographs, px (lower is better)", "blur_px", ".1f"),
        ("Distance in blur from your sharp ones (lower is better)", "distance", ".3f"),
    ]
    lines = [f"| | {ANY} | {YOURS} |", "|---|---|---|"]
    for label, key, form in rows:
        shipped, own = (getattr(found, f"{whose}_{key}") for whose in ("shipped", "own"))
        lines.append(f"| {label} | {shipped:{form}} | {own:{form}} |")
    held = "held out of the training" if found.held_out else "of the training"
    return "\n".join(lines) + f"\n\nBlurry photographs of yours: {found.photographs}, {held}."
