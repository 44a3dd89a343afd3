"""Weight files give back what was saved; everything else is refused with one line."""

import json
import math
import pickle
import zipfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from blur2blur import networks
from blur2blur.errors import CheckpointError
from blur2blur.weights import checkpoints, headers
from blur2blur.weights.headers import Header

OPTIONS = {
    "mimo_unet": {"base_channels": 4, "blocks": 1},
    "mimo_unet_plus": {"base_channels": 4, "blocks": 1},
    "nafnet": {"width": 4, "encoder_blocks": [1, 2], "decoder_blocks": [1, 1]},
}


def saved(path: Path, name: str = "mimo_unet", **fields: object) -> networks.ImageNetwork:
    torch.manual_seed(1)
    network = networks.build(name, **OPTIONS[name], identity_start=False)
    options = network.options.model_dump()
    header = Header(role="deblurrer", network=name, options=options, **fields)
    checkpoints.save_network(path, network, header)
    return network


def refusal(path: Path, **arguments: str) -> str:
    with pytest.raises(CheckpointError) as caught:
        checkpoints.load_network(path, **arguments)
    message = str(caught.value)
    assert str(path) in message
    assert "\n" not in message
    return message


@pytest.mark.parametrize("name", OPTIONS)
@torch.inference_mode()
def test_a_network_comes_back_number_for_number(tmp_path: Path, name: str):
    network = saved(tmp_path / "a.safetensors", name).eval()
    loaded, header = checkpoints.load_network(tmp_path / "a.safetensors", role="deblurrer")
    assert loaded.options == network.options
    assert (loaded.name, header.network) == (name, name)
    assert not loaded.training
    image = torch.rand(1, 3, 16, 16)
    assert all(torch.equal(a, b) for a, b in zip(loaded(image), network(image), strict=True))


def test_channels_last_weights_are_saved_as_they_are(tmp_path: Path):
    network = networks.build("mimo_unet", **OPTIONS["mimo_unet"])
    network.to(memory_format=torch.channels_last)
    header = Header(role="deblurrer", network="mimo_unet", options=network.options.model_dump())
    checkpoints.save_network(tmp_path / "a.safetensors", network, header)
    loaded, _ = checkpoints.load_network(tmp_path / "a.safetensors")
    for one, other in zip(network.parameters(), loaded.parameters(), strict=True):
        assert torch.equal(one, other)


def test_the_header_comes_back(tmp_path: Path):
    fields = {
        "step": 7,
        "metrics": {"validation/psnr_db": 30.5, "other": math.inf},
        "settings": {"run": {"steps": 9}, "list": [1, 2]},
        "version": "1.2.3",
    }
    saved(tmp_path / "a.safetensors", **fields)
    header = headers.read_header(tmp_path / "a.safetensors")
    assert header.model_dump(include=set(fields)) == fields
    assert header.role == "deblurrer"


def test_half_precision_weights_load_as_single(tmp_path: Path):
    path = tmp_path / "a.safetensors"
    saved(path)
    header = {"role": "deblurrer", "network": "mimo_unet", "options": OPTIONS["mimo_unet"]}
    weights = {name: value.half() for name, value in load_file(path).items()}
    save_file(weights, path, {"blur2blur": json.dumps(header)})
    loaded, _ = checkpoints.load_network(path)
    assert {value.dtype for value in loaded.state_dict().values()} == {torch.float32}


def test_another_role_is_refused(tmp_path: Path):
    saved(tmp_path / "a.safetensors")
    message = refusal(tmp_path / "a.safetensors", role="converter")
    assert "is a deblurrer, not a converter; give what 'blur2blur train converter' made" in message


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda weights: weights.pop("stem.weight"), "it lacks 1 parameters, first stem.weight"),
        (
            lambda weights: weights.update(new=torch.zeros(1)),
            "it has 1 parameters too many, first new",
        ),
        (
            lambda weights: weights.update({"stem.weight": torch.zeros(8, 3, 3, 3)}),
            "stem.weight is (8, 3, 3, 3), not (4, 3, 3, 3)",
        ),
    ],
)
def test_weights_of_another_network_are_refused(tmp_path: Path, change, words: str):
    path = tmp_path / "a.safetensors"
    saved(path)
    header = {"role": "deblurrer", "network": "mimo_unet", "options": OPTIONS["mimo_unet"]}
    weights = load_file(path)
    change(weights)
    save_file(weights, path, {"blur2blur": json.dumps(header)})
    assert f"was made for another network: {words}" in refusal(path)


@pytest.mark.parametrize(
    ("header", "words"),
    [
        ("[]", "valid dictionary"),
        ("{", "damaged or of another version"),
        ("{}", "'role' is missing"),
        ('{"role": "deblurrer", "network": 5}', "network = 5"),
        ('{"role": "deblurrer", "network": "mimo"}', "did you mean 'mimo_unet'?"),
        ('{"role": "deblurrer", "network": "nafnet", "options": 3}', "options = 3"),
        ('{"role": "deblurrer", "network": "nafnet", "options": {"with": 4}}', "'width'?"),
        ('{"role": "deblurrer", "network": "nafnet", "options": {"name": 4}}', "'name'"),
        (
            '{"role": "deblurrer", "network": "nafnet", "format": 9, "options": {"new": 1}}',
            "written by a newer blur2blur (format 9, this one reads up to 2); update blur2blur",
        ),
        ('{"role": "deblurrer", "network": "nafnet", "format": 9}', "newer blur2blur (format 9"),
        ('{"role": 3, "format": 9}', "newer blur2blur (format 9"),
        ('{"role": "deblurrer", "network": "nafnet", "format": "x"}', "format = 'x'"),
    ],
)
def test_a_broken_header_is_refused(tmp_path: Path, header: str, words: str):
    path = tmp_path / "a.safetensors"
    save_file({"a": torch.zeros(1)}, path, {"blur2blur": header})
    assert words in refusal(path)


def test_what_a_newer_version_adds_is_kept_and_not_looked_at(tmp_path: Path):
    path = tmp_path / "a.safetensors"
    saved(path)
    header = {**headers.read_header(path).model_dump(mode="json"), "format": 9, "new": [1]}
    save_file(load_file(path), path, {"blur2blur": json.dumps(header)})
    _, found = checkpoints.load_network(path)
    assert found.format == 9
    assert found.model_dump()["new"] == [1]


def test_a_file_tells_its_format(tmp_path: Path):
    saved(tmp_path / "a.safetensors")
    assert headers.read_header(tmp_path / "a.safetensors").format == headers.FORMAT


def test_a_discriminator_of_format_1_is_read(tmp_path: Path):
    path = tmp_path / "a.safetensors"
    network = networks.build_any("discriminator", base_channels=4, layers=2, kind="both")
    options = network.options.model_dump()
    options["judge"] = options.pop("kind")
    header = {"role": "discriminator", "network": "discriminator", "options": options}
    weights = {
        name.replace("parts.", "judges.", 1): value for name, value in network.state_dict().items()
    }
    save_file(weights, path, {"blur2blur": json.dumps(header)})
    loaded, found = checkpoints.load_any(path, role="discriminator")
    assert found.format == 1
    assert found.options["kind"] == "both"
    for name, value in network.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], value)


def test_a_state_of_an_older_version_is_read(tmp_path: Path):
    weight, other = torch.rand(2), torch.rand(3)
    state = {
        "position": {"step": 3},
        "networks": {"generator": {"a": weight}, "discriminator": {"judges.0.a": other}},
        "optimisers": {"generator": {"state": {}}, "discriminator": {"state": {}}},
    }
    checkpoints.save_state(tmp_path / "state.pt", state)
    loaded = checkpoints.load_state(tmp_path / "state.pt")
    assert loaded["optimisers"] == {"network": {"state": {}}, "discriminator": {"state": {}}}
    assert torch.equal(loaded["networks"]["network"]["a"], weight)
    assert torch.equal(loaded["networks"]["discriminator"]["parts.0.a"], other)


def test_files_that_are_not_ours(tmp_path: Path):
    path = tmp_path / "a.safetensors"
    assert "no weight file" in refusal(path)
    assert not headers.is_ours(path)
    save_file({"a": torch.zeros(1)}, path)
    assert "of another program" in refusal(path)
    assert not headers.is_ours(path)
    saved(path)
    assert headers.is_ours(path)
    whole = path.read_bytes()
    for content in (b"", b"{}", whole[:50], whole[:-100], pickle.dumps({"a": 1})):
        path.write_bytes(content)
        assert "damaged" in refusal(path)
        assert not headers.is_ours(path)


class Marker:
    """A pickle of this makes a file when its code runs."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize("place", ["whole", "value", "key"])
def test_a_pickle_with_code_is_refused_and_not_run(tmp_path: Path, protocol: int, place: str):
    path, code = tmp_path / "a.pth", Marker(tmp_path / "ran")
    content = {"whole": code, "value": {"a": torch.zeros(1), "b": code}, "key": {code: 1}}[place]
    torch.save(content, path, pickle_protocol=protocol)
    with pytest.raises(CheckpointError, match=r"a\.pth holds more than weights.*not loaded"):
        checkpoints.load_pickle_safely(path)
    assert not (tmp_path / "ran").exists()


def test_a_state_comes_back(tmp_path: Path):
    state = {"step": 3, "best": -math.inf, "rate": {"betas": (0.5, 0.9)}, "t": torch.rand(2)}
    checkpoints.save_state(tmp_path / "state.pt", state)
    loaded = checkpoints.load_pickle_safely(tmp_path / "state.pt")
    assert torch.equal(loaded.pop("t"), state.pop("t"))
    assert loaded == state


@pytest.mark.parametrize("legacy", [True, False])
def test_damaged_pickles_are_one_line(tmp_path: Path, legacy: bool):
    """Whatever byte is wrong: refused with one line, or read as if it did not matter."""
    path = tmp_path / "a.pth"
    state = {"params": {"a": torch.rand(3), "b": torch.rand(2, 2)}, "step": 3}
    torch.save(state, path, _use_new_zipfile_serialization=not legacy)
    whole = path.read_bytes()
    rng = torch.Generator().manual_seed(0)
    messages: list[str] = []
    for number in range(300):
        content = bytearray(whole)
        place, value = torch.randint(2**30, (2,), generator=rng).tolist()
        content[place % min(len(content), 900)] = value % 256
        path.write_bytes(content[: place % len(content)] if number % 10 == 0 else content)
        try:
            checkpoints.load_pickle_safely(path)
        except CheckpointError as error:
            messages.append(str(error))
    assert len(messages) > 50
    assert all("a.pth" in message and "\n" not in message for message in messages)


def test_an_empty_or_missing_pickle(tmp_path: Path):
    with pytest.raises(CheckpointError, match="no file"):
        checkpoints.load_pickle_safely(tmp_path / "a.pth")
    (tmp_path / "a.pth").touch()
    with pytest.raises(CheckpointError, match=r"is empty \(zero bytes\)"):
        checkpoints.load_pickle_safely(tmp_path / "a.pth")
    torch.save([1, 2], tmp_path / "a.pth")
    with pytest.raises(CheckpointError, match="holds a list, not named weights"):
        checkpoints.load_pickle_safely(tmp_path / "a.pth")


def test_a_header_that_asks_for_more_than_the_file_holds(tmp_path: Path):
    """Refused before anything of that size is allocated or built."""
    path = tmp_path / "a.safetensors"
    for options in ({"base_channels": 1 << 20}, {"blocks": 10**6}, {"base_channels": 4 * 10**30}):
        header = {"role": "deblurrer", "network": "mimo_unet", "options": options}
        save_file({"stem.weight": torch.zeros(4)}, path, {"blur2blur": json.dumps(header)})
        assert "made for another network" in refusal(path)


def test_deep_json_and_whole_numbers_are_refused(tmp_path: Path):
    path = tmp_path / "a.safetensors"
    deep = '{"role": "deblurrer", "network": "nafnet", "new": ' + "[" * 10**5 + "]" * 10**5 + "}"
    save_file({"a": torch.zeros(1)}, path, {"blur2blur": deep})
    assert "nested more than 64 levels" in refusal(path)
    saved(path)
    weights, header = load_file(path), headers.read_header(path).model_dump_json()
    weights["stem.weight"] = weights["stem.weight"].to(torch.int64)
    save_file(weights, path, {"blur2blur": header})
    assert "stem.weight holds torch.int64, not torch.float32" in refusal(path)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"a": torch.zeros(1).expand(10**9)}, "repeat the file's few numbers"),
        ({"a": torch.eye(3).to_sparse()}, "not dense"),
        ({"a": torch.empty(3, device="meta")}, "not dense"),
    ],
)
def test_tensors_that_are_not_what_lies_in_the_file(tmp_path: Path, content, words: str):
    path = tmp_path / "a.pth"
    torch.save(content, path)
    with pytest.raises(CheckpointError, match=words):
        checkpoints.load_pickle_safely(path)


def test_a_packed_pickle_is_not_unpacked(tmp_path: Path):
    path = tmp_path / "a.pth"
    torch.save({"a": torch.zeros(10**6)}, path)
    with zipfile.ZipFile(path) as archive:
        entries = {entry.filename: archive.read(entry) for entry in archive.infolist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in entries.items():
            archive.writestr(name, data)
    with pytest.raises(CheckpointError, match="are packed"):
        checkpoints.load_pickle_safely(path)


def test_an_archive_of_several_disks_is_one_line(tmp_path: Path):
    torch.save({"a": torch.ones(2)}, tmp_path / "a.pth")
    data = bytearray((tmp_path / "a.pth").read_bytes())
    data[data.rindex(b"PK\x06\x07") + 16] = 2  # disks, of the locator of ZIP64
    (tmp_path / "a.pth").write_bytes(data)
    with pytest.raises(CheckpointError, match="multiple disks"):
        checkpoints.load_pickle_safely(tmp_path / "a.pth")
