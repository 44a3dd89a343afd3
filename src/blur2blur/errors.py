"""The four kinds of mistake a user can make; the command line prints each as one line."""

from collections.abc import Iterable

_LISTED = 3


class Blur2BlurError(Exception):
    """A user's mistake or the world's: what was met, the rule, the way out, in one line."""


class ConfigError(Blur2BlurError):
    """A setting, preset or option that does not exist or does not fit."""


class DataError(Blur2BlurError):
    """A training or evaluation folder that does not hold what it must."""


class CheckpointError(Blur2BlurError):
    """A weight file that is missing, unsafe, damaged or made for another network."""


class InputError(Blur2BlurError):
    """A photograph or path given on the command line that cannot be read or written."""


def listed(names: Iterable[str]) -> str:
    """Return the first of many offenders, and how many more there are, for one line."""
    every = list(names)
    more = f" and {len(every) - _LISTED} more" if len(every) > _LISTED else ""
    return ", ".join(every[:_LISTED]) + more
