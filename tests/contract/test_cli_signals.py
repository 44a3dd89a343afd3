"""A signal ends the command as promised, even where a library hides it. Reason: contract."""

import subprocess
import sys

import pytest

# as pybind11 does with whatever is raised while a module of its own is being loaded
_HIDING = """
import os, signal
from blur2blur.cli.main import guard
def command():
    try:
        os.kill(os.getpid(), signal.{name})
    except BaseException:
        raise ImportError("initialization failed") from None
guard(command)
"""


@pytest.mark.parametrize(
    ("name", "code", "said"), [("SIGTERM", 143, "terminated\n"), ("SIGINT", 130, "stopped\n")]
)
def test_signal_that_a_library_hides(name: str, code: int, said: str) -> None:
    result = subprocess.run(
        [sys.executable, "-c", _HIDING.format(name=name)], capture_output=True, text=True
    )
    assert (result.returncode, result.stderr) == (code, said)
