"""Kinds of image files: told by their first bytes, not by their names."""

from mmap import mmap
from pathlib import Path
from typing import Literal, get_args

from blur2blur.images import exif, ifd

Kind = Literal["JPEG", "PNG", "TIFF", "BMP", "WebP", "GIF", "HEIC", "AVIF", "JPEG XL", "RAW"]

KINDS = ", ".join(get_args(Kind))

SUFFIXES_OF: dict[Kind, frozenset[str]] = {
    "JPEG": frozenset({".jpg", ".jpeg", ".jpe", ".jfif", ".jfi", ".mpo"}),
    "PNG": frozenset({".png", ".apng"}),
    "TIFF": frozenset({".tif", ".tiff"}),
    "BMP": frozenset({".bmp"}),
    "WebP": frozenset({".webp"}),
    "GIF": frozenset({".gif"}),
    "HEIC": frozenset({".heic", ".heif", ".hif"}),
    "AVIF": frozenset({".avif"}),
    "JPEG XL": frozenset({".jxl"}),
    "RAW": frozenset(
        {".dng", ".cr2", ".cr3", ".crw", ".nef", ".nrw", ".arw", ".srf", ".sr2", ".raf", ".orf"}
        | {".rw2", ".pef", ".srw", ".rwl", ".3fr", ".fff", ".iiq", ".kdc", ".mrw", ".x3f", ".erf"}
    ),
}

KIND_OF: dict[str, Kind] = {
    suffix: kind for kind, suffixes in SUFFIXES_OF.items() for suffix in suffixes
}

SUFFIXES = frozenset[str]().union(*SUFFIXES_OF.values())
"""Suffixes of the files that are looked for in folders."""

_STARTS: tuple[tuple[bytes, Kind], ...] = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"GIF8", "GIF"),
    (b"BM", "BMP"),
    (b"\xff\x0a", "JPEG XL"),
    (b"\x00\x00\x00\x0cJXL ", "JPEG XL"),
    (b"FUJIFILMCCD-RAW", "RAW"),
    (b"FOVb", "RAW"),
    (b"\x00MRM", "RAW"),
    (b"IIRO", "RAW"),
    (b"IIRS", "RAW"),
    (b"MMOR", "RAW"),
    (b"IIU\x00", "RAW"),
    (b"II\x1a\x00\x00\x00HEAPCCDR", "RAW"),
)
_HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
_BRANDS: dict[bytes, Kind] = {
    b"avif": "AVIF",
    b"avis": "AVIF",
    b"crx ": "RAW",
    **{brand: "HEIC" for brand in _HEIC_BRANDS},
}
_DNG_VERSION, _SUB_DIRECTORIES, _PHOTOMETRIC = 50706, 330, 262
_SENSOR_PHOTOMETRICS = frozenset({32803, 34892})  # colour filter array, linear sensor values


def kind_of(data: bytes | mmap) -> Kind | None:
    """Return what kind of image a file's bytes are, None where they are of no known kind."""
    start = bytes(data[:64])
    for signature, kind in _STARTS:
        if start.startswith(signature):
            return kind
    if start[:4] == b"RIFF" and start[8:12] == b"WEBP":
        return "WebP"
    if start[4:8] == b"ftyp":
        length = min(int.from_bytes(start[:4], "big"), len(start))
        brands = [start[8:12], *(start[at : at + 4] for at in range(16, length, 4))]
        known: list[Kind] = [_BRANDS[brand] for brand in brands if brand in _BRANDS]
        if "AVIF" in known:  # beside the general brands of HEIF
            return "AVIF"
        return known[0] if known else None
    if start[:4] in (b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+"):
        return "RAW" if _holds_sensor_values(data) else "TIFF"
    return None


def _holds_sensor_values(data: bytes | mmap) -> bool:
    """Tell the many camera formats that are TIFF files from other TIFF files."""
    header, entries = exif.main_directory(data)
    if _DNG_VERSION in entries or bytes(data[8:10]) == b"CR":
        return True
    directories = [entries]
    pointer = entries.get(_SUB_DIRECTORIES)
    if pointer is not None and pointer.kind in (4, 13):
        order = "little" if header.order == "<" else "big"
        offsets = [pointer.content[at : at + 4] for at in range(0, len(pointer.content), 4)]
        directories += [
            ifd.read_directory(data, header, int.from_bytes(offset, order))
            for offset in offsets[:16]
        ]
    return any(
        ifd.integer(directory.get(_PHOTOMETRIC), header) in _SENSOR_PHOTOMETRICS
        for directory in directories
    )


def wrong_suffix(path: Path, kind: Kind) -> str | None:
    """Say in one line that a file's suffix is not that of its content; None where it is."""
    suffix = path.suffix.lower()
    if not suffix or suffix in SUFFIXES_OF[kind]:
        return None
    return f"it is a {kind} file, whatever its suffix {suffix} says"


def same_kind(first: Path, second: Path) -> bool:
    """Tell whether two names are of one kind of file, by their suffixes."""
    suffixes = {first.suffix.lower(), second.suffix.lower()}
    return len(suffixes) == 1 or any(suffixes <= of_kind for of_kind in SUFFIXES_OF.values())
