"""`blur2blur blur transfer` and `blur sample`: files, resuming, bad input."""

import json
from pathlib import Path

import pytest
import skimage.data
import torch
from typer.testing import CliRunner, Result

from blur2blur import tensors, transfer_blur
from blur2blur.cli import main
from blur2blur.weights import loading
from extractors import write_extractor


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main.app, ["blur", *(str(argument) for argument in arguments)])


def line(result: Result) -> str:
    """The message of a refused command."""
    assert result.exception is not None
    return str(result.exception)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with `pairs/`, `sharp/`, and extractors with and without VAE."""
    monkeypatch.chdir(tmp_path)
    picture = torch.from_numpy(skimage.data.coffee()).permute(2, 0, 1) / 255
    for index in range(2):
        sharp = picture[:, 40 * index : 40 * index + 40, :50]
        blurry = torch.nn.functional.avg_pool2d(sharp[None], 3, 1, 1)[0]
        tensors.write_rgb(Path("pairs") / "sharp" / f"{index}.png", sharp)
        tensors.write_rgb(Path("pairs") / "blurry" / f"{index}.png", blurry)
    tensors.write_rgb(Path("sharp/a.png"), picture[:, 200:233, 200:241])
    tensors.write_rgb(Path("sharp/trip/b.jpg"), picture[:, 100:119, 100:117])
    write_extractor(Path("plain.safetensors"), vae=False)
    write_extractor(Path("vae.safetensors"), vae=True)
    return tmp_path


def transfer(*more: object) -> Result:
    return run("transfer", "--from", "pairs", "--to", "sharp", "-o", "out",
               "--network", "plain.safetensors", *more)  # fmt: skip


def test_every_photograph_gets_the_blur_of_a_pair_and_keeps_its_size(place: Path):
    result = transfer()
    assert result.exit_code == 0, result.output
    assert "2 pairs made" in result.stdout
    assert sorted(path.name for path in Path("out/blurry").iterdir()) == ["a.png", "trip_b.png"]
    made, sharp = tensors.read_rgb(Path("out/blurry/a.png")), tensors.read_rgb(Path("sharp/a.png"))
    assert torch.equal(tensors.read_rgb(Path("out/sharp/a.png")), sharp)
    network = loading.load_kernel_extractor("plain.safetensors")
    possible = [
        transfer_blur(
            sharp,
            (
                tensors.read_rgb(Path(f"pairs/blurry/{i}.png")),
                tensors.read_rgb(Path(f"pairs/sharp/{i}.png")),
            ),
            network,
        )
        for i in range(2)
    ]
    assert min(float((made - each).abs().max()) for each in possible) < 0.6 / 255
    record = json.loads(Path("out/transfer.json").read_text())
    assert len(record["weights_sha256"]) == 64
    assert record["blur"].endswith("pairs")


def test_count_is_of_pairs_in_all_and_the_same_command_makes_what_is_missing(place: Path):
    assert "3 pairs made" in transfer("--count", 3).stdout
    names = sorted(path.name for path in Path("out/blurry").iterdir())
    assert names == ["a_0.png", "a_1.png", "trip_b_0.png"]
    before = Path("out/blurry/a_1.png").read_bytes()
    Path("out/blurry/a_1.png").unlink()
    assert "1 pairs made, 2 were there" in transfer("--count", 3).stdout
    assert Path("out/blurry/a_1.png").read_bytes() == before
    assert "count = 3, now it is 4" in line(transfer("--count", 4))


def test_with_another_network_nothing_is_resumed(place: Path):
    assert transfer().exit_code == 0
    Path("vae.safetensors").replace("plain.safetensors")
    assert "was made with weights_sha256" in line(transfer())


def test_a_file_that_cannot_be_read_is_reported_and_the_rest_is_made(place: Path):
    Path("sharp/broken.png").write_bytes(b"broken")
    result = transfer()
    assert result.exit_code == 1
    assert "broken.png" in result.stderr
    assert "2 pairs made" in result.stdout


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda: tensors.write_rgb(Path("pairs/sharp/0.png"), torch.zeros(3, 40, 49)), "one size"),
        (lambda: tensors.write_rgb(Path("pairs/sharp/0.png"), torch.zeros(3, 9, 9)), "one size"),
    ],
)
def test_a_pair_of_two_sizes_is_named(place: Path, spoil, message):
    Path("pairs/sharp/1.png").unlink()
    Path("pairs/blurry/1.png").unlink()
    spoil()
    result = transfer()
    assert result.exit_code == 1
    assert "pairs/blurry/0.png" in result.stderr
    assert message in " ".join(result.stderr.split())


def test_pairs_of_unequal_counts_are_refused(place: Path):
    Path("pairs/sharp/1.png").unlink()
    assert "no partner of the same name" in line(transfer())
    assert not Path("out").exists()


@pytest.mark.parametrize(
    ("network", "message"),
    [
        ("missing.pth", "neither a file nor a known name"),
        ("known-blur", "no kernel extractor 'known-blur'"),
        ("sharp/a.png", "not '.png'"),
    ],
)
def test_what_is_no_extractor_is_refused(place: Path, network: str, message: str):
    assert message in line(transfer("--network", network))
    assert not Path("out").exists()


def test_folders_without_pairs_are_refused(place: Path):
    result = run("transfer", "--from", "sharp", "--to", "sharp", "-o", "out",
                 "--network", "plain.safetensors")  # fmt: skip
    assert "sharp holds none of trainA" in line(result)


def test_sample_draws_new_blurs_with_the_vae(place: Path):
    options = ["--to", "sharp", "-o", "out", "--count", 4]
    result = run("sample", *options, "--network", "vae.safetensors")
    assert result.exit_code == 0, result.output
    first, second = (tensors.read_rgb(Path(f"out/blurry/a_{i}.png")) for i in range(2))
    assert first.shape == second.shape == (3, 33, 41)
    assert not torch.equal(first, second)


def test_sample_without_vae_is_refused(place: Path):
    result = run("sample", "--to", "sharp", "-o", "out", "--network", "plain.safetensors")
    assert "trained without VAE" in line(result)
    assert not Path("out").exists()
