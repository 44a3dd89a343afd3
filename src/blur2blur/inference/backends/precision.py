"""In which precision to compute."""

from collections.abc import Sequence
from typing import Literal

from blur2blur.errors import ConfigError

Precision = Literal["auto", "fp32", "bf16", "fp16"]


def choose_precision(asked: str, possible: Sequence[str], *, where: str) -> str:
    """Return the precision to compute in: the one asked for, or for "auto" the fastest.

    Args:
        asked: as the user says it.
        possible: what can be computed in, fastest first.
        where: device and backend, for the message.

    Raises:
        ConfigError: one that is not possible.
    """
    if asked == "auto" and possible:
        return possible[0]
    if asked in possible:
        return asked
    raise ConfigError(
        f"precision '{asked}' is not possible with these networks on {where}; possible: "
        f"{', '.join(['auto', *possible])}"
    )
