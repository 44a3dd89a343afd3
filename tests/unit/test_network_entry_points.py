"""Networks of other packages join by an entry point; a broken one is one line."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from blur2blur import networks
from blur2blur.errors import ConfigError
from blur2blur.networks import registry

PACKAGE = """
from torch import nn
from blur2blur.networks.base import ImageNetwork
from blur2blur.networks.registry import Entry
from blur2blur.settings import Settings
from blur2blur.tiling import SizeRule

class Options(Settings):
    channels: int = 4

class Twice(ImageNetwork):
    scales, size_rule = 1, SizeRule(multiple=1, minimum=1)
    def __init__(self, options):
        super().__init__()
        self.first = nn.Conv2d(3, options.channels, 1)
        self.last = nn.Conv2d(options.channels, 3, 1)
    def forward(self, image):
        return (image + self.last(self.first(image)),)

entry = Entry(Options, Twice)
"""


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder on the path, with the metadata of an installed package that has two networks."""
    (tmp_path / "tiny_package.py").write_text(PACKAGE)
    metadata = tmp_path / "tiny_package-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: tiny-package\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[blur2blur.networks]\ntwice = tiny_package:entry\n")
    monkeypatch.syspath_prepend(tmp_path)
    registry._known.cache_clear()
    yield metadata
    registry._known.cache_clear()


def test_a_network_of_another_package_is_built_by_name(installed: Path):
    assert "twice" in networks.names()
    network = networks.build("twice", channels=2)
    assert network(torch.rand(1, 3, 5, 7))[-1].shape == (1, 3, 5, 7)
    assert (network.name, network.options.model_dump()) == ("twice", {"channels": 2})
    with pytest.raises(ConfigError, match="did you mean 'channels'"):
        networks.build("twice", chanels=2)


@pytest.mark.parametrize(
    ("target", "reason"), [("tiny_package:nothing", "nothing"), ("json:loads", "is no Entry")]
)
def test_what_is_no_network_is_one_line(installed: Path, target: str, reason: str):
    (installed / "entry_points.txt").write_text(f"[blur2blur.networks]\nodd = {target}\n")
    with pytest.raises(ConfigError, match=rf"the network 'odd' of {target}.*{reason}") as error:
        networks.names()
    assert "\n" not in str(error.value)
