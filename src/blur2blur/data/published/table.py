"""The datasets that can be imported: where each is published, and how its folders are laid out.

Patterns are searched in "folder/.../file" paths that begin with the name of the folder given, so
that a dataset is found whether its top folder, the folder above, or one of its parts is given.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from blur2blur.errors import ConfigError
from blur2blur.settings import nearest

ImportedAs = Literal["known", "unknown"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Folders:
    """Pairs that are found by their folders.

    Files belong together where the groups of `sharp` have the same values in `blurry`. The group
    `scene` names what must not be on two sides, `number` the image in it; `split`, where a path
    has one, is train, val or test.
    """

    blurry: re.Pattern[str]
    sharp: re.Pattern[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Lists:
    """Pairs that are found in text files with lines "sharp blurry", relative to one folder.

    `blurry` is searched in the second path; its groups are `scene` and `number`.
    """

    train: str
    test: str
    blurry: re.Pattern[str]


Structure = Folders | Lists


@dataclass(frozen=True, slots=True, kw_only=True)
class Archive:
    """A zip file that can be downloaded, in one part or more, and the folder it is unpacked to."""

    folder: str
    addresses: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """One row of the table.

    Attributes:
        title: as its authors write it.
        page: where it is published.
        licence: as published.
        imported_as: what it is imported as unless the user says otherwise.
        seeks: the structure in words, for messages.
        structures: subset (first is the default; "" where there is one only) -> alternatives.
        test_split: value of the group `split` that holds the test images.
        archives: what can be downloaded without a browser; empty where nothing can.
        by_hand: how to get it with a browser.
    """

    title: str
    page: str
    licence: str
    imported_as: ImportedAs
    seeks: str
    structures: Mapping[str, tuple[Structure, ...]]
    test_split: str = "test"
    archives: tuple[Archive, ...] = ()
    by_hand: str = ""

    @property
    def subsets(self) -> tuple[str, ...]:
        """The names of the subsets, the default first; empty where there are none."""
        return tuple(name for name in self.structures if name)


def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(r"(?:^|/)" + text + "$", re.IGNORECASE)


def _sides(text: str, blurry: str, sharp: str) -> Folders:
    """Return patterns that differ in the name of one folder, written SIDE."""
    return Folders(
        blurry=_pattern(text.replace("SIDE", blurry)), sharp=_pattern(text.replace("SIDE", sharp))
    )


_SUFFIX = r"\.[a-z]+"
_NUMBER = r"(?P<number>[^/]+)" + _SUFFIX
_SPLIT = r"(?P<split>train|val|test)"
_SCENE = r"(?P<scene>[^/]+)"

# blur, not blur_gamma; flattened mirrors begin their file names with the scene
_GOPRO_FLAT = rf"{_SPLIT}/SIDE/(?P<scene>GOPR\d+_\d+_\d+)[-_]{_NUMBER}"
_GOPRO = (
    _sides(rf"{_SPLIT}/{_SCENE}/SIDE/{_NUMBER}", "blur", "sharp"),
    _sides(_GOPRO_FLAT, "input", "target"),
    _sides(_GOPRO_FLAT, "blur", "sharp"),
)

_REDS = (
    _sides(rf"{_SPLIT}_SIDE/(?P<scene>\d+)/{_NUMBER}", "blur", "sharp"),
    _sides(rf"{_SPLIT}/SIDE/(?P<scene>\d+)/{_NUMBER}", "blur", "sharp"),
)

_HIDE_NAME = r"(?P<number>[^/]*)from(?P<scene>GOPR\d+)(?:\.MP4)?" + _SUFFIX
_HIDE = (
    Folders(
        blurry=_pattern(rf"{_SPLIT}/(?:test-[^/]+/)?{_HIDE_NAME}"),
        sharp=_pattern(rf"GT/{_HIDE_NAME}"),
    ),
    _sides(rf"{_SPLIT}/SIDE/{_HIDE_NAME}", "input", "target"),
)


def _rb2v(category: str) -> tuple[Structure, ...]:
    """Return the structures of one category; a blurry frame's partner is the 4th of 7 sharp."""
    blurry = rf"(?:{_SPLIT}/)?{_SCENE}/blur/(?P<number>[^/._]+){_SUFFIX}$"
    sharp = rf"(?:{_SPLIT}/)?{_SCENE}/sharp/(?P<number>[^/._]+)(?:_4)?{_SUFFIX}$"
    places = (
        rf"^(?:.*/)?[^/]*{category}[^/]*/(?:.*/)?",
        r"^(?!.*(?:street|face|hand)[^/]*/)(?:.*/)?",  # the category's content directly
    )
    return tuple(
        Folders(
            blurry=re.compile(place + blurry, re.IGNORECASE),
            sharp=re.compile(place + sharp, re.IGNORECASE),
        )
        for place in places
    )


def _realblur(letter: str) -> tuple[Structure, ...]:
    return (
        Lists(
            train=f"RealBlur_{letter}_train_list.txt",
            test=f"RealBlur_{letter}_test_list.txt",
            blurry=_pattern(rf"(?P<scene>scene\d+)/blur/blur_{_NUMBER}"),
        ),
    )


_RSBLUR = (
    Lists(
        train="RSBlur_real_train.txt",
        test="RSBlur_real_test.txt",
        blurry=_pattern(rf"{_SCENE}/(?P<number>[^/]+)/real_blur/[^/]+"),
    ),
)

_HUB = "https://huggingface.co/datasets"

DATASETS: Mapping[str, Published] = {
    "gopro": Published(
        title="GOPRO_Large",
        page="https://seungjunnah.github.io/Datasets/gopro.html",
        licence="not stated on the pages that were checked",
        imported_as="known",
        seeks="GOPRO_Large/{train,test}/SCENE/{blur,sharp}/*.png",
        structures={"": _GOPRO},
        archives=(
            Archive(
                folder="GOPRO_Large",
                addresses=(f"{_HUB}/snah/GOPRO_Large/resolve/main/GOPRO_Large.zip",),
            ),
        ),
    ),
    "reds": Published(
        title="REDS",
        page="https://seungjunnah.github.io/Datasets/reds.html",
        licence="CC BY 4.0",
        imported_as="unknown",
        seeks="{train,val}/{train,val}_{blur,sharp}/SCENE/*.png",
        structures={"": _REDS},
        test_split="val",
        archives=tuple(
            Archive(folder=part, addresses=(f"{_HUB}/snah/REDS/resolve/main/{part}.zip",))
            for part in ("train_blur", "train_sharp", "val_blur", "val_sharp")
        ),
    ),
    "rsblur": Published(
        title="RSBlur",
        page="https://github.com/rimchang/RSBlur",
        licence="CC BY 4.0",
        imported_as="unknown",
        seeks=(
            "RSBlur/SCENE/NUMBER/{real_blur,gt}/*.png, with RSBlur_real_train.txt and "
            "RSBlur_real_test.txt (in datalist/RSBlur of its repository) in the folder or beside it"
        ),
        structures={"": _RSBLUR},
        by_hand="RSBlur.zip, and the lists in datalist/RSBlur",
    ),
    "rb2v": Published(
        title="RB2V",
        page="https://github.com/VinAIResearch/Blur2Blur",
        licence="AGPL-3.0 on the page of the files, BSD-like in DATA_LICENSE of the repository",
        imported_as="unknown",
        seeks="{Street,Face,Hand}/SCENE/{blur/0000.png,sharp/0000_1.png to 0000_7.png}",
        structures={category: _rb2v(category) for category in ("street", "face", "hand")},
        archives=(
            Archive(
                folder="RB2V",
                addresses=tuple(
                    f"{_HUB}/anhttran1111/rb2v/resolve/main/RB2V{part}"
                    for part in ("aa", "ab", "ac")
                ),
            ),
        ),
    ),
    "realblur": Published(
        title="RealBlur",
        page="https://github.com/rimchang/RealBlur",
        licence="not stated on the pages that were checked",
        imported_as="unknown",
        seeks=(
            "RealBlur_J_train_list.txt and RealBlur_J_test_list.txt (or _R_) beside "
            "RealBlur-J_ECC_IMCORR_centroid_itensity_ref/sceneNNN/{blur,gt}/*.png"
        ),
        structures={"j": _realblur("J"), "r": _realblur("R")},
        by_hand="RealBlur.tar.gz",
    ),
    "hide": Published(
        title="HIDE",
        page="https://github.com/joanshen0508/HA_deblur",
        licence="not stated on the pages that were checked",
        imported_as="known",
        seeks="HIDE_dataset/{train,test/test-close-ups,test/test-long-shot,GT}/*.png",
        structures={"": _HIDE},
        by_hand="HIDE_dataset.zip",
    ),
}


def get(name: str) -> Published:
    """Return a row of the table.

    Raises:
        ConfigError: no dataset of that name.
    """
    if name not in DATASETS:
        raise ConfigError(f"no dataset '{name}'{nearest(name, DATASETS)}")
    return DATASETS[name]
