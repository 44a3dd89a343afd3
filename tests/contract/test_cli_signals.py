"""A signal ends the command as promised, even where a library hides it. Reason: contract."""

import subprocess
import sys

import pytest

_HIDING = """
import os, signal
from blur2blur.cli.main import guard
def command():
    try:
        os.kill(os.getpid(), signal.{name})
    except BaseException:
        {then}
guard(command)
"""
# as pybind11 does with whatever is raised while a module of its own is being loaded
_ANOTHER = "raise ImportError('initialization failed') from None"
# as a destructor does
_NOTHING = "return"


@pytest.mark.parametrize(
    ("name", "code", "said"),
    [
        ("SIGTERM", 143, "terminated\n"),
        ("SIGHUP", 143, "terminated\n"),
        ("SIGINT", 130, "stopped\n"),
    ],
)
@pytest.mark.parametrize("then", [_ANOTHER, _NOTHING])
def test_signal_that_a_library_hides(then: str, name: str, code: int, said: str) -> None:
    script = _HIDING.format(name=name, then=then)
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (result.returncode, result.stderr) == (code, said)


def test_a_verb_that_is_stopped_says_so_once() -> None:
    script = """
import os, signal, sys
from blur2blur.cli import main
@main.app.command()
def wait():
    os.kill(os.getpid(), signal.SIGINT)
sys.argv = ["blur2blur", "wait"]
main.main()
"""
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (result.returncode, result.stderr) == (130, "stopped\n")
