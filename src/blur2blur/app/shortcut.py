"""The page among the programs of a desktop."""

import re
import sys
from pathlib import Path

import platformdirs

from blur2blur.app import words
from blur2blur.errors import ConfigError
from blur2blur.files import write_text

_ENTRY = """[Desktop Entry]
Type=Application
Name={name}
Comment={comment}
Exec={python} -m blur2blur app
Terminal=true
Categories=Graphics;Photography;
"""


def install() -> Path:
    """Write the desktop entry that opens the page, as freedesktop.org describes it.

    Its terminal stays open: closing it ends the page.

    Returns:
        The file.

    Raises:
        ConfigError: a system whose desktop has other entries.
        InputError: the file cannot be written.
    """
    if sys.platform != "linux":
        raise ConfigError(
            f"--install-shortcut writes desktop entries of Linux, this is {sys.platform}: make a "
            f"shortcut to this command yourself: {sys.executable} -m blur2blur app"
        )
    path = Path(platformdirs.user_data_dir()) / "applications" / "blur2blur.desktop"
    entry = _ENTRY.format(name=words.TITLE, comment=words.LEAD, python=_quoted(sys.executable))
    write_text(path, entry)
    return path


def _quoted(argument: str) -> str:
    """Quote an argument of the key Exec, where % begins a field code; then escape the value."""
    quoted = re.sub(r'(["`$\\])', r"\\\1", argument.replace("%", "%%"))
    return '"' + quoted.replace("\\", "\\\\") + '"'
