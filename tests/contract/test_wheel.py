"""The wheel alone, installed by its own dependencies: small, without torch, and it deblurs."""

import subprocess
import sys
from pathlib import Path

import pytest
import skimage.data
from PIL import Image

ROOT = Path(__file__).parents[2]
LIMIT_MB = 400

NO_TORCH = "import importlib.util as u; print(u.find_spec('torch') is None)"


def _run(*command: object, folder: Path | None = None) -> str:
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the commands of an environment that holds nothing else."""
    folder = tmp_path_factory.mktemp("wheel")
    _run(sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", folder, ROOT)
    (wheel,) = folder.glob("*.whl")
    environment = folder / "environment"
    _run(sys.executable, "-m", "venv", environment)
    commands = environment / ("Scripts" if sys.platform == "win32" else "bin")
    # the packages alone are measured: a user's installer is already there
    constraints = ["-c", ROOT / "constraints.txt"]
    _run(commands / "python", "-m", "pip", "install", "-q", *constraints, wheel)
    return commands


def test_it_is_small_and_has_no_torch(installed: Path):
    assert _run(installed / "python", "-c", NO_TORCH).strip() == "True"
    lines = _run(installed / "python", "-m", "pip", "list", "--format=freeze").splitlines()
    names = {line.partition("==")[0].lower() for line in lines}
    heavy = {"torch", "torchvision", "lightning", "torchmetrics", "tensorboard", "scipy"}
    assert not names & (heavy | {"scikit-image", "opencv-python-headless"})
    where = "import sysconfig; print(sysconfig.get_path('purelib'))"
    packages = Path(_run(installed / "python", "-c", where).strip())
    tools = {"pip", "setuptools", "_distutils_hack"}
    size = sum(
        path.stat().st_size
        for path in packages.rglob("*")
        if path.is_file() and path.relative_to(packages).parts[0] not in tools
    )
    assert size < LIMIT_MB * 1e6, f"{size / 1e6:.0f} MB"


def test_it_deblurs_measures_and_splits(installed: Path, tmp_path: Path):
    sharp = Image.fromarray(skimage.data.astronaut())
    (tmp_path / "in").mkdir()
    for index in range(4):
        sharp.crop((100 * index, 0, 100 * index + 128, 128)).save(tmp_path / f"in/{index}.png")
    command = installed / "blur2blur"
    _run(command, "deblur", "in", "-o", "out", folder=tmp_path)
    with Image.open(tmp_path / "out/0.png") as deblurred:
        assert deblurred.size == (128, 128)
    assert "dB" in _run(command, "evaluate", "out", "--truth", "in", folder=tmp_path)
    _run(command, "data", "split", "in", "-o", "camera", "--ratio", "1:1", folder=tmp_path)
    assert (tmp_path / "camera/trainA").is_dir()


def test_what_needs_torch_says_what_to_install(installed: Path, tmp_path: Path):
    command = [installed / "blur2blur", "train", "converter", "--data", ".", "-o", "run"]
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 2
    assert "pip install 'blur2blur[train]'" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
