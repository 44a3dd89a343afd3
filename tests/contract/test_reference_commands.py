"""The commands of the published Blur2Blur, as its users type them."""

import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import typer
from PIL import Image
from safetensors.torch import load_file

from blur2blur import Pipeline, images, networks, tensors
from blur2blur.cli.main import guard
from blur2blur.errors import CheckpointError, ConfigError, DataError, InputError
from blur2blur.losses import content
from blur2blur.networks.patchgan import PatchGAN, PatchGANOptions
from blur2blur.reference import convert, train
from blur2blur.reference.parser import parse
from blur2blur.training import launch
from blur2blur.weights.checkpoints import load_network, load_pickle_safely
from blur2blur.weights.reference_keys import mimo_unet_to_reference, patchgan_to_ours

ROOT = Path(__file__).parents[2]
TRAIN = (
    "train.py --dataroot D --name exp_name --model blur2blur --netG mimounet --batch_size 1 "
    "--dataset_mode unaligned --norm instance --pool_size 0 --display_id -1"
)
TEST = (
    "test.py --dataroot D --name exp_name --eval --model blur2blur --netG mimounet "
    "--checkpoints_dir ckpts/ --dataset_mode unaligned --norm instance"
)
QUICK = shlex.split(
    "--n_epochs 1 --n_epochs_decay 0 --crop_size 96 --ngf 4 --ndf 4 --num_threads 0 --gpu_ids -1 "
    "--set data.validation_crops=2"
)
TWO_EPOCHS = shlex.split(
    "--name run --n_epochs_decay 1 --save_epoch_freq 1 --save_latest_freq 3 --save_by_iter"
)
SHALLOW = ("--set", "network.options.blocks=1")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, camera_folder: Path) -> Path:
    """A copy of the scripts, and a data folder D with an odd size, 16 bits and a truth."""
    root = tmp_path_factory.mktemp("clone")
    for name in ("train.py", "test.py", "scripts"):
        source = ROOT / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, root / name)
    shutil.copytree(camera_folder, root / "D")
    shutil.copytree(camera_folder, root / "datasets/phone")
    tensors.write_rgb(root / "D/testA/deep/odd.jpg", torch.rand(3, 61, 83))
    deep = np.random.default_rng(0).integers(0, 65535, (50, 70), dtype=np.uint16)
    Image.fromarray(deep).save(root / "D/testA/sixteen.png")
    for number in range(4):
        name = f"{number}.png"
        tensors.write_rgb(root / "D/testB" / name, tensors.read_rgb(root / "D/testA" / name))
    return root


def shell(folder: Path, command: str, *more: str) -> subprocess.CompletedProcess[str]:
    """Run a documented command in a folder, without network, as if typed."""
    environment = os.environ | {
        "PYTHONPATH": str(ROOT / "src"),
        "PYTHONWARNINGS": "ignore",
        "TORCH_HOME": str(folder / "torch"),
        "https_proxy": "http://127.0.0.1:9",
        "PYTHON": sys.executable,
        "OMP_NUM_THREADS": "1",
    }
    words = [sys.executable, *command.split()] if command.startswith("t") else command.split()
    return subprocess.run(
        [*words, *more], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


def run_in(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str, *words: str) -> None:
    """Run a script in this process, in `folder`, with the content loss that needs no weights."""
    monkeypatch.chdir(folder)
    if script == "train":
        words = ("--dataroot", "D", *QUICK, *SHALLOW, *words, "--set", "loss.content=pyramid")
        train.train(words)
    else:
        convert.test(("--dataroot", "D", "--gpu_ids", "-1", *words))


@pytest.fixture(scope="module")
def trained(folder: Path) -> subprocess.CompletedProcess[str]:
    return shell(folder, TRAIN, *QUICK, *SHALLOW, "--save_epoch_freq", "1")


@pytest.fixture(scope="module")
def tested(folder: Path, trained: object) -> subprocess.CompletedProcess[str]:
    return shell(folder, TEST)


class TestDocumented:
    """One story: train, test, and what is left on disk."""

    def test_training_runs_and_says_what_it_did_instead(self, trained):
        assert trained.returncode == 0, trained.stderr
        notes = [line for line in trained.stderr.splitlines() if line.startswith("note: ")]
        assert len(notes) == 2
        assert "GOPRO_woVAE.pth" in notes[0]
        assert "the content loss 'pyramid' takes the place of the published one" in notes[1]
        assert "vgg16" in notes[1]
        assert "'pyramid', which needs none" not in notes[1]

    def test_the_run_folder_holds_our_files_and_the_published_ones(self, folder, trained):
        names = {path.name for path in (folder / "ckpts/exp_name").iterdir()}
        assert names == {
            "settings.json", "log.jsonl", "tensorboard", "samples", "state.pt",
            "best.safetensors", "last.safetensors", "train_opt.txt", "1_net_G.pth",
            "latest_net_G.pth", "latest_net_D.pth",
        }  # fmt: skip
        options = (folder / "ckpts/exp_name/train_opt.txt").read_text().splitlines()
        assert "pool_size: 0" in options
        assert "lr: 0.0002  (default)" in options

    def test_the_published_files_hold_the_weights_under_the_published_names(self, folder, trained):
        run = folder / "ckpts/exp_name"
        network, _ = load_network(run / "last.safetensors")
        wanted = mimo_unet_to_reference(network.state_dict())
        found = load_pickle_safely(run / "1_net_G.pth")
        assert list(found) == list(wanted)
        assert all(torch.equal(found[key], wanted[key]) for key in wanted)
        discriminator = PatchGAN(PatchGANOptions(base_channels=4, norm="instance"))
        state = patchgan_to_ours(load_pickle_safely(run / "latest_net_D.pth"))
        discriminator.load_state_dict(state)

    def test_testing_runs_and_keeps_names_sizes_and_depths(self, folder, tested):
        assert tested.returncode == 0, tested.stderr
        assert "6 of 6 photographs converted" in tested.stdout
        assert "output: " in tested.stdout  # testB is there: scores
        made = folder / "results/exp_name/test_latest/images"
        sources = images.find_images(folder / "D/testA")
        assert len(images.find_images(made)) == len(sources) == 6
        for source in sources:
            result = made / source.relative_to(folder / "D/testA")
            with Image.open(source) as before, Image.open(result) as after:
                assert (after.size, after.mode) == (before.size, before.mode)

    def test_the_page_shows_every_photograph(self, folder, tested):
        page = (folder / "results/exp_name/test_latest/index.html").read_text()
        for source in images.find_images(folder / "D/testA"):
            assert source.relative_to(folder / "D/testA").as_posix() in page
        assert "no truth" not in page

    def test_the_scripts_run(self, folder):
        first = shell(folder, "bash ./scripts/train.sh", *QUICK, *SHALLOW)
        assert first.returncode == 0, first.stderr
        second = shell(folder, "bash ./scripts/test.sh")
        assert second.returncode == 0, second.stderr
        assert (folder / "results/phone/test_latest/index.html").is_file()

    def test_a_mistake_is_one_line_and_exit_2(self, folder):
        result = shell(folder, "test.py --dataroot D --nmae x")
        assert result.returncode == 2
        assert result.stderr == "error: unknown option '--nmae'; did you mean '--name'?\n"


@pytest.fixture(scope="module")
def run(folder: Path) -> Path:
    """A run of two epochs with mimounet, in this process."""
    with pytest.MonkeyPatch.context() as patch:
        run_in(folder, patch, "train", *TWO_EPOCHS)
    return folder / "ckpts/run"


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two photographs of 256 px in each folder, which a U-Net of 8 levels takes."""
    root = tmp_path_factory.mktemp("large")
    for side in ("trainA", "trainB", "trainC", "trainD"):
        for number in range(2):
            tensors.write_rgb(root / "D" / side / f"{number}.png", torch.rand(3, 256, 256))
    return root


@pytest.mark.parametrize(
    "words",
    [
        "--netG mimounetp --ngf 4 --netD n_layers --n_layers_D 2 --gan_mode vanilla",
        "--netG resnet_6blocks --netD pixel --gan_mode lsgan --lr_policy step --lr_decay_iters 1",
        "--netG resnet_9blocks --netD basic --gan_mode wgangp --lr_policy plateau",
        "--netG unet_128 --crop_size 128 --norm none --gan_mode hinge --lr_policy cosine",
        "--netG unet_256 --crop_size 256 --init_type xavier --ngf 2",
    ],
)
def test_every_network_loss_and_policy_trains_and_tests(words, large, monkeypatch):
    netG = words.split()[1]
    quick = [word for word in QUICK if "blocks" not in word]
    quick = [
        word for number, word in enumerate(quick) if quick[number : number + 2] != ["--set"] * 2
    ]
    monkeypatch.chdir(large)
    common = ["--dataroot", "D", "--name", netG]
    content = ["--set", "loss.content=pyramid"]
    train.train([*common, *QUICK, *words.split(), *content])
    lines = (large / "ckpts" / netG / "log.jsonl").read_text().splitlines()
    assert '"step": 2' in lines[1]  # after the validation of the untrained
    convert.test([*common, "--netG", netG, "--phase", "train", "--num_test", "1"])
    images_of = large / "results" / netG / "train_latest/images"
    assert tensors.read_rgb(images_of / "0.png").shape == (3, 256, 256)


def test_weights_of_an_epoch_are_those_at_its_end(run, folder, monkeypatch):
    """Though checkpoints fall due at other steps: every 3, and an epoch has 4."""
    run_in(folder, monkeypatch, "train", "--name", "one_epoch")
    first = load_pickle_safely(run / "1_net_G.pth")
    whole = load_pickle_safely(folder / "ckpts/one_epoch/latest_net_G.pth")
    assert all(torch.equal(first[key], whole[key]) for key in whole)


def test_a_checkpoint_is_made_at_each_step_that_is_to_be_kept(folder, monkeypatch):
    asked: list[int] = []

    def train_converter(*_arguments: object, checkpoint_at: Callable[[int], bool]) -> bool:
        asked.extend(step for step in range(1, 9) if checkpoint_at(step))
        return True

    monkeypatch.setattr(launch, "train_converter", train_converter)
    run_in(folder, monkeypatch, "train", *TWO_EPOCHS, "--name", "asked")
    assert asked == [3, 4, 6, 8]


def test_the_published_content_loss_is_taken_where_its_weights_are(tmp_path, monkeypatch):
    options = parse("train", ["--dataroot", "D", "--lambda_Perc", "0.4"])
    monkeypatch.setattr(content, "vgg_loss", lambda depth: None)
    published = ["loss.content=vgg16", f"loss.content_weight={3 * 0.4}"]
    assert train._content(options, tmp_path) == published

    def missing(depth: int) -> None:
        raise ConfigError("no weights")

    monkeypatch.setattr(content, "vgg_loss", missing)
    fallback = ["loss.content=pyramid", "loss.content_weight=10.0"]
    assert train._content(options, tmp_path) == fallback
    # a run keeps the loss that it was begun with, so that it can be resumed
    stored = {"settings": {"loss": {"content": "vgg16"}}}
    (tmp_path / "settings.json").write_text(json.dumps(stored))
    assert train._content(options, tmp_path) == published


def test_without_the_package_one_line_tells_how_to_install_it(tmp_path):
    for script in ("train.py", "test.py"):
        shutil.copy(ROOT / script, tmp_path)
        command = [sys.executable, "-S", script]  # without installed packages
        result = subprocess.run(
            command, cwd=tmp_path, env={}, capture_output=True, text=True, check=False
        )
        assert result.returncode == 1
        assert "pip install -c constraints.txt ." in result.stderr
        assert len(result.stderr.splitlines()) == 1


class TestResumption:
    def test_goes_on_exactly(self, folder, monkeypatch):
        def interrupted(*arguments: object, **options: object) -> bool:
            raise typer.Exit(130)

        words = ("--n_epochs", "2", "--save_latest_freq", "4")
        run_in(folder, monkeypatch, "train", "--name", "whole", *words)
        with monkeypatch.context() as patch:
            patch.setattr(train.weight_files, "write_networks", interrupted)
            with pytest.raises(typer.Exit):  # at step 5, when the checkpoint of step 4 is there
                run_in(folder, patch, "train", "--name", "cut", *words)
        run_in(folder, monkeypatch, "train", "--name", "cut", *words, "--continue_train")
        whole, cut = (folder / "ckpts" / name / "last.safetensors" for name in ("whole", "cut"))
        one, other = load_file(whole), load_file(cut)
        assert all(torch.equal(one[key], other[key]) for key in one)

    def test_with_other_options_is_refused(self, run, folder, monkeypatch):
        with pytest.raises(ConfigError, match=r"learning_rate = 0.0002.*another --name"):
            run_in(folder, monkeypatch, "train", "--name", "run", "--lr", "1e-3")

    def test_without_a_run_is_refused(self, folder, monkeypatch):
        with pytest.raises(ConfigError, match=r"no run in ckpts/new to continue"):
            run_in(folder, monkeypatch, "train", "--name", "new", "--continue_train")

    def test_of_a_published_run_begins_from_its_weights(self, folder, monkeypatch):
        network = networks.build("mimo_unet", base_channels=4, blocks=1, downsampling="nearest")
        (folder / "ckpts/published").mkdir(parents=True)
        path = folder / "ckpts/published/latest_net_G.pth"
        torch.save(mimo_unet_to_reference(network.state_dict()), path)
        with pytest.raises(ConfigError, match=r"--set init=ckpts/published/latest_net_G.pth"):
            run_in(folder, monkeypatch, "train", "--name", "published", "--continue_train")
        init = f"init={path.relative_to(folder)}"
        run_in(folder, monkeypatch, "train", "--name", "from_published", "--set", init)
        trained, _ = load_network(folder / "ckpts/from_published/last.safetensors")
        assert trained.options == network.options


class TestWeightsOfATest:
    def results(self, folder: Path, place: str) -> torch.Tensor:
        return tensors.read_rgb(folder / "results" / place / "images/0.png")

    def test_are_those_of_the_epoch_or_the_iteration(self, run, folder, monkeypatch):
        for words in ("--epoch 1", "--epoch best", "--load_iter 6"):
            run_in(folder, monkeypatch, "test", "--name", "run", *words.split())
        assert {path.name for path in (folder / "results/run").iterdir()} == {
            "test_1", "test_best", "test_latest_iter6",
        }  # fmt: skip
        assert (run / "iter_6_net_G.pth").is_file()
        assert not (run / "3_net_G.pth").exists()

    def test_of_the_published_code_are_found(self, folder, monkeypatch):
        network = networks.build(
            "mimo_unet", base_channels=4, blocks=1, downsampling="nearest", identity_start=False
        ).eval()
        (folder / "ckpts/theirs").mkdir(parents=True)
        state = mimo_unet_to_reference(network.state_dict())
        torch.save(state, folder / "ckpts/theirs/7_net_G.pth")
        run_in(
            folder, monkeypatch, "test", "--name", "theirs", "--epoch", "7", "--netG", "mimounet"
        )
        with torch.no_grad():
            wanted = network(tensors.read_rgb(folder / "D/testA/0.png")[None])[-1][0].clamp(0, 1)
        found = self.results(folder, "theirs/test_7")
        assert (found - wanted).abs().max() < 0.6 / 255  # rounded, not cut off

    def test_of_the_published_code_are_taken_by_our_own_commands(self, folder, tmp_path):
        network = networks.build("mimo_unet", base_channels=4, blocks=1, downsampling="nearest")
        path = tmp_path / "latest_net_G.pth"
        torch.save(mimo_unet_to_reference(network.state_dict()), path)
        pipeline = Pipeline(converter=path, device="cpu")
        assert pipeline.converts
        torch.save({"layer.weight": torch.zeros(1)}, path)
        with pytest.raises(CheckpointError, match="of no network that blur2blur or spandrel knows"):
            Pipeline(converter=path, device="cpu")

    def test_of_another_network_are_refused_in_one_line(self, run, folder, monkeypatch):
        with pytest.raises(CheckpointError, match=r"holds a mimounet, not a unet_256") as caught:
            run_in(folder, monkeypatch, "test", "--name", "run", "--netG", "unet_256")
        assert "\n" not in str(caught.value)
        shutil.copytree(run, folder / "ckpts/mixed")
        foreign = networks.build("mimo_unet", base_channels=8, blocks=1)
        torch.save(mimo_unet_to_reference(foreign.state_dict()), folder / "ckpts/mixed/9_net_G.pth")
        with pytest.raises(CheckpointError, match=r"9_net_G.pth was made for another network"):
            run_in(folder, monkeypatch, "test", "--name", "mixed", "--epoch", "9")

    def test_that_are_not_there_are_named(self, run, folder, monkeypatch):
        with pytest.raises(CheckpointError, match=r"no weights of epoch '5'.*there: 1_net_G.pth"):
            run_in(folder, monkeypatch, "test", "--name", "run", "--epoch", "5")


def test_a_deblurrer_writes_the_deblurred_photographs_too(run, folder, monkeypatch):
    words = ("--name", "run", "--deblurrer", "known-blur", "--delta", "1", "--num_test", "2")
    run_in(folder, monkeypatch, "test", *words, "--results_dir", "both")
    out = folder / "both/run/test_latest"
    names = {path.name for path in images.find_images(out / "images")}
    assert names == {path.name for path in images.find_images(out / "deblurred")}
    assert len(names) == 2
    page = (out / "index.html").read_text()
    assert "<bdi>output</bdi>" in page  # measured
    assert "<option>converted</option>" in page


def test_only_the_photographs_of_this_run_are_measured(run, folder, monkeypatch, capsys):
    for side in "AB":
        shutil.copytree(folder / f"D/test{side}", folder / f"D/some{side}")
    words = ("--name", "run", "--phase", "some", "--results_dir", "some")
    run_in(folder, monkeypatch, "test", *words)
    printed = capsys.readouterr()
    assert "output: " in printed.out
    assert "not measured: 2 without a truth, such as deep/odd" in printed.err
    run_in(folder, monkeypatch, "test", *words, "--delta", "2", "--num_test", "1")
    page = (folder / "some/run/some_latest/index.html").read_text()
    assert page.count("<bdi>output</bdi>") == 2  # the mean, and the one photograph
    shown = {path.name[:4] for path in (folder / "some/run/some_latest/index_files").iterdir()}
    assert shown == {"0001"}


def test_a_broken_photograph_is_reported_and_the_rest_converted(run, folder, monkeypatch, capsys):
    shutil.copytree(folder / "D/testA", folder / "D/valA")
    (folder / "D/valA/0.png").write_bytes(b"no picture")
    with pytest.raises(typer.Exit) as stop:
        run_in(folder, monkeypatch, "test", "--name", "run", "--phase", "val")
    assert stop.value.exit_code == 1
    printed = capsys.readouterr()
    assert "5 of 6 photographs converted" in printed.out
    assert "valA/0.png" in printed.err


@pytest.mark.parametrize(
    ("script", "words", "error", "message"),
    [
        ("train", "--dataroot gone", DataError, "no folder gone"),
        ("train", "--name run2 --crop_size 90", ConfigError, "set data.crop_px=96"),
        ("train", "--name run2 --set run.sede=1", ConfigError, "did you mean 'run.seed'"),
        ("train", "--name run2 --set run.steps=9", ConfigError, "use --n_epochs and --n_epochs_d"),
        ("train", "--name run2 --set run.checkpoint_every=9", ConfigError, "--save_latest_freq"),
        ("train", "--name run2 --set data.batch_size=2", ConfigError, "use --batch_size"),
        ("train", "--name run2 --set run={seed=1}", ConfigError, "run.steps cannot be --set"),
        (
            "train",
            "--name run2 --extractor gone.pth",
            CheckpointError,
            "no kernel extractor 'gone.",
        ),
        ("test", "--name nobody", CheckpointError, "no folder ckpts/nobody; train.py"),
        ("test", "--name run --phase holiday", DataError, "no folder D/holidayA; --phase"),
        ("test", "--name run --delta 99", ConfigError, "leave no photograph"),
        ("test", "--name run --results_dir D/testA/out", InputError, "lies in D/testA; choose"),
        ("test", "--name run --deblurrer gone.pth", CheckpointError, "no deblurrer 'gone.pth'"),
        ("test", "--name run --batch_size 0", ConfigError, "batch 0"),
    ],
)
def test_mistakes_are_one_line(script, words, error, message, run, folder, monkeypatch):
    with pytest.raises(error, match=message) as caught:
        run_in(folder, monkeypatch, script, *words.split())
    assert "\n" not in str(caught.value)
    assert not (folder / "ckpts/run2").exists()


def test_guard_turns_errors_into_exit_codes(capsys):
    def fails() -> None:
        raise ConfigError("wrong\nhere")

    with pytest.raises(SystemExit) as stop:
        guard(fails)
    assert stop.value.code == 2
    assert capsys.readouterr().err == "error: wrong here\n"

    def stops() -> None:
        raise typer.Exit(130)

    with pytest.raises(SystemExit) as stop:
        guard(stops)
    assert stop.value.code == 130


def test_ctrl_c_is_no_traceback(capsys):
    def interrupted() -> None:
        raise KeyboardInterrupt

    with pytest.raises(SystemExit) as stop:
        guard(interrupted)
    assert stop.value.code == 130
    assert capsys.readouterr().err == "stopped\n"
