"""Options of the published scripts: what each becomes, what has no effect, what is refused."""

import json
import os
import shlex
from pathlib import Path

import pytest
import torch

from blur2blur import settings as settings_
from blur2blur.data.folders import layout
from blur2blur.errors import CheckpointError, ConfigError
from blur2blur.reference import settings, weight_files
from blur2blur.reference.options import GENERATORS, idle_of_script, of_script
from blur2blur.reference.parser import choose_gpu, parse, run_folder_of
from blur2blur.training.settings import ConverterSettings

DOCUMENTED_TRAIN = shlex.split(
    "--dataroot D --name exp_name --model blur2blur --netG mimounet --batch_size 1 --dataset_mode "
    "unaligned --norm instance --pool_size 0 --display_id -1"
)
DOCUMENTED_TEST = shlex.split(
    "--dataroot D --name exp_name --eval --model blur2blur --netG mimounet --checkpoints_dir "
    "ckpts/ --dataset_mode unaligned --norm instance"
)


def found(unknown_blurry: int = 10, unknown_sharp: int = 7, known: int = 0) -> layout.Layout:
    def files(count: int) -> tuple[Path, ...]:
        return tuple(Path(f"{number}.png") for number in range(count))

    return layout.Layout(
        root=Path("D"),
        unknown_blurry=files(unknown_blurry),
        unknown_sharp=files(unknown_sharp),
        known_blurry=files(known),
        known_sharp=files(known),
        test_blurry=(),
        test_sharp=(),
    )


def trained(*words: str) -> ConverterSettings:
    options = parse("train", ["--dataroot", "D", *words])
    overrides = settings.settings(options, settings.rhythm(options, found()))
    return settings_.load(ConverterSettings, "reference", overrides)


def test_the_documented_training_is_the_published_one():
    options = parse("train", DOCUMENTED_TRAIN)
    assert options.notes == []
    assert run_folder_of(options) == Path("ckpts/exp_name")
    checked = trained(*DOCUMENTED_TRAIN)
    assert checked.network.name == "mimo_unet"
    assert checked.data.crop_px == 256
    assert checked.data.batch_size == 1
    discriminator = {
        "base_channels": 64, "layers": 3, "norm": "instance", "input": "rgb", "kind": "patch",
        "scales": 3, "shared": True, "updates_per_step": 1,
    }  # fmt: skip
    assert discriminator.items() <= checked.discriminator.model_dump().items()
    assert checked.loss.adversarial == "hinge"
    assert checked.loss.penalty == "interpolated"
    assert checked.loss.penalty_weight == pytest.approx(2e-4)
    assert settings.content_weight(options) == pytest.approx(2.4)
    assert checked.optimiser.learning_rate == checked.discriminator.learning_rate == 2e-4
    assert checked.optimiser.beta1 == 0.5
    assert checked.optimiser.schedule == "linear"
    assert checked.optimiser.constant_fraction == pytest.approx(1 / 3)
    assert checked.run.steps == 300 * 10  # the larger folder has 10 photographs
    assert checked.run.log_every == 100
    assert checked.run.checkpoint_every == 5000


def test_the_documented_test_has_nothing_to_say():
    options = parse("test", DOCUMENTED_TEST)
    assert options.notes == []
    assert run_folder_of(options) == Path("ckpts/exp_name")
    assert options.text("epoch") == "latest"


@pytest.mark.parametrize("script", ["train", "test"])
def test_every_option_is_known_once(script):
    names = [*(option.name for option in of_script(script)), *idle_of_script(script)]
    assert len(names) == len(set(names))


@pytest.mark.parametrize(
    ("words", "setting", "value"),
    [
        ("--netG mimounetp --no_dropout", "network.options", {"dropout": 0.0}),
        ("--netG unet_128", "network.options", {"levels": 7, "norm": "instance"}),
        ("--netG resnet_6blocks --norm none --ngf 8", "network.options",
         {"blocks": 6, "norm": "none", "base_channels": 8}),
        ("--netD n_layers --n_layers_D 2", "discriminator.layers", 2),
        ("--netD pixel", "discriminator.layers", 0),
        ("--n_layers_D 5", "discriminator.layers", 3),
        ("--ndf 16", "discriminator.base_channels", 16),
        ("--gan_mode lsgan", "loss.adversarial", "least_squares"),
        ("--gan_mode vanilla", "loss.adversarial", "logistic"),
        ("--gan_mode wgangp", "loss.adversarial", "wasserstein"),
        ("--lambda_gp 10", "loss.penalty_weight", 20.0),
        ("--lambda_gp 0", "loss.penalty", "none"),
        ("--lr_policy step --lr_decay_iters 3", "optimiser.decay_every", 30),
        ("--lr_policy plateau", "optimiser.schedule", "plateau"),
        ("--lr_policy cosine", "optimiser.constant_fraction", 0.0),
        ("--n_epochs 4 --n_epochs_decay 0", "optimiser.schedule", "constant"),
        ("--n_epochs 4 --n_epochs_decay 0 --batch_size 4", "run.steps", 12),
        ("--n_epochs 4 --n_epochs_decay 4 --epoch_count 3", "run.steps", 60),
        ("--n_epochs 4 --n_epochs_decay 4 --epoch_count 3", "optimiser.constant_fraction", 2 / 6),
        ("--print_freq 100 --batch_size 8", "run.log_every", 12),
        ("--no_html --n_epochs 1 --n_epochs_decay 0", "run.samples_every", 10),
        ("--no_flip", "data.rotations", False),
        ("--num_threads 0", "data.workers", 0),
    ],
)  # fmt: skip
def test_options_become_settings(words, setting, value):
    found: object = trained(*words.split()).model_dump()
    for key in setting.split("."):
        assert isinstance(found, dict)
        found = found[key]
    assert found == (pytest.approx(value) if isinstance(value, float) else value)


@pytest.mark.parametrize("gan_mode", ["hinge", "lsgan", "vanilla", "wgangp"])
@pytest.mark.parametrize("lr_policy", ["linear", "step", "plateau", "cosine"])
def test_every_loss_and_every_policy_is_a_setting(gan_mode, lr_policy):
    trained("--gan_mode", gan_mode, "--lr_policy", lr_policy)


@pytest.mark.parametrize(
    ("script", "words", "note"),
    [
        ("train", "--pool_size 50", "--pool_size 50 has no effect: the published method"),
        ("train", "--display_id 1", ""),  # the default: nobody asked for it
        ("train", "--display_id 7", "--display_id 7 has no effect: there is no visdom"),
        ("train", "--ratio 0.5", "--ratio 0.5 has no effect: every photograph"),
        ("train", "--preprocessA none", "--preprocessA none has no effect: nothing is resized"),
        ("train", "--use_wandb", "--use_wandb has no effect: nothing is sent"),
        ("test", "--no_flip --serial_batches --eval", ""),
        ("test", "--crop_size 128", "--crop_size 128 has no effect: whole photographs"),
        ("test", "--aspect_ratio 1.5", "--aspect_ratio 1.5 has no effect: results have the shape"),
    ],
)
def test_what_has_no_effect_says_why_in_one_line(script, words, note):
    notes = parse(script, ["--dataroot", "D", *words.split()]).notes
    assert len(notes) == (1 if note else 0)
    assert all(line.startswith(note) and "\n" not in line for line in notes)


@pytest.mark.parametrize(
    ("script", "words", "message"),
    [
        ("train", "--lambda_perc 1", r"^unknown option '--lambda_perc'; .*'--lambda_Perc'\?$"),
        ("train", "--batchsize=4", r"did you mean '--batch_size'\?"),
        ("train", "--batch 4", r"unknown option '--batch'"),  # no abbreviations
        ("train", "--wobble", r"unknown option '--wobble'; --help lists"),
        ("train", "--eval", r"--eval is an option of the other script"),
        ("test", "--n_epochs 3", r"--n_epochs is an option of the other script"),
        ("train", "more", r"'more' belongs to no option"),
        ("train", "--batch_size many", r"--batch_size: invalid int value: 'many'"),
        ("train", "--batch_size", r"--batch_size: expected one argument"),
        ("train", "--netG mimo", r"--netG mimo is not possible here; did you mean 'mimounet'\?"),
        ("train", "--gan_mode lsgna", r"did you mean 'lsgan'\?"),
        ("train", "--model cycle_gan", r"--model cycle_gan is not possible here"),
        ("train", "--norm batch", r"use --norm instance"),
        ("train", "--direction BtoA", r"exchange the names of the folders"),
        ("train", "--dataset_mode aligned", r"trainA to trainD"),
        ("train", "--input_nc 1", r"grey photographs are read as RGB"),
        ("train", "--max_dataset_size 9", r"take photographs out of the folders"),
        ("train", "--epoch 7", r"--set init=FILE"),
    ],
)  # fmt: skip
def test_what_is_not_possible_says_the_way_out(script, words, message):
    with pytest.raises(ConfigError, match=message) as caught:
        parse(script, ["--dataroot", "D", *words.split()])
    assert "\n" not in str(caught.value)


def test_the_data_folder_must_be_named():
    with pytest.raises(ConfigError, match="--dataroot is missing"):
        parse("train", ["--name", "x"])


@pytest.mark.parametrize(
    "words",
    [
        "--batch_size 0",
        "--save_epoch_freq 0",
        "--update_html_freq 0",
        "--epoch_count 301",
        "--n_epochs -1",
    ],
)
def test_numbers_that_leave_nothing_to_do_are_refused(words):
    with pytest.raises(ConfigError, match=words.split()[0]):
        trained(*words.split())


@pytest.mark.parametrize("script", ["train", "test"])
def test_all_photographs_may_be_called_inf(script):
    options = parse(script, ["--dataroot", "D", "--max_dataset_size", "inf"])
    assert options.notes == []
    if script == "test":
        assert options.whole("max_dataset_size") == -1
        with pytest.raises(ConfigError, match="--num_test: invalid int value: 'many'"):
            parse(script, ["--dataroot", "D", "--num_test", "many"])


def test_suffix_takes_values_of_options():
    options = parse("train", ["--dataroot", "D", "--suffix", "{netG}_size{crop_size}"])
    assert run_folder_of(options) == Path("ckpts/experiment_name_mimounet_size256")
    options = parse("train", ["--dataroot", "D", "--suffix", "{netG.__class__}{0}{"])
    assert run_folder_of(options) == Path("ckpts/experiment_name_{netG.__class__}{0}{")
    options = parse("train", ["--dataroot", "D", "--suffix", "{netg}"])
    with pytest.raises(ConfigError, match=r"--suffix {netg}: {netg} is no option; .*'netG'"):
        run_folder_of(options)


class TestGpu:
    @pytest.fixture(autouse=True)
    def _environment(self, monkeypatch):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")  # so that it is set back after the test
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
        monkeypatch.delenv("LOCAL_RANK", raising=False)

    def chosen(self, ids: str) -> tuple[str, list[str]]:
        return choose_gpu(parse("train", ["--dataroot", "D", "--gpu_ids", ids]))

    def test_minus_one_is_the_cpu(self):
        assert self.chosen("-1") == ("cpu", [])

    def test_the_one_named_is_the_only_one_seen(self, monkeypatch):
        assert self.chosen("2")[0] == "auto"
        assert os.environ["CUDA_VISIBLE_DEVICES"] == "2"
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,7")  # numbers count within what is visible
        self.chosen("1")
        assert os.environ["CUDA_VISIBLE_DEVICES"] == "7"
        with pytest.raises(ConfigError, match="--gpu_ids 1: CUDA_VISIBLE_DEVICES=7 shows 1 GPUs"):
            self.chosen("1")

    def test_several_are_a_matter_for_torchrun(self):
        assert "torchrun --nproc-per-node 3" in self.chosen("0,1,2")[1][0]

    def test_words_are_refused(self):
        with pytest.raises(ConfigError, match="--gpu_ids first"):
            self.chosen("first")


class TestRhythm:
    def pace(self, *words: str) -> settings.Rhythm:
        options = parse("train", ["--dataroot", "D", *words])
        return settings.rhythm(options, found())

    def test_weights_of_epochs_and_the_latest(self):
        pace = self.pace("--save_latest_freq", "15", "--save_epoch_freq", "3")
        written = {step: pace.prefixes(step) for step in range(1, 61)}
        assert {step: names for step, names in written.items() if names} == {
            15: ["latest"], 30: ["latest", "3"], 45: ["latest"], 60: ["latest", "6"],
        }  # fmt: skip

    def test_by_iteration_counts_samples(self):
        words = ["--save_latest_freq", "8", "--save_by_iter", "--batch_size", "4"]
        pace = self.pace(*words)
        assert pace.steps_per_epoch == 3
        assert pace.prefixes(2) == ["iter_8"]
        assert pace.prefixes(6) == ["iter_24", "latest", "2"]

    def test_epochs_are_numbered_from_the_first(self):
        pace = self.pace("--epoch_count", "5", "--save_epoch_freq", "1")
        assert [pace.epoch_kept_at(step) for step in (9, 10, 20)] == [None, 5, 6]

    def test_processes_of_torchrun_share_an_epoch(self, monkeypatch):
        monkeypatch.setenv("WORLD_SIZE", "2")
        assert self.pace("--batch_size", "2").steps_per_epoch == 3


class TestKnownBlur:
    def test_pairs_where_there_is_no_extractor(self):
        overrides, (note,) = settings.known_blur(found(known=3), "")
        assert overrides == ["known.source=pairs"]
        assert "not at options/generate_blur/GOPRO_woVAE.pth" in note
        assert "--extractor kernel, or a file of 'blur2blur train kernel'" in note

    def test_synthetic_where_there_are_no_pairs(self):
        overrides, (note,) = settings.known_blur(found(), "")
        assert overrides == ["known.source=synthetic"]
        assert "a synthetic shake over trainB" in note

    def test_transfer_with_an_extractor_at_its_published_place(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        path = tmp_path / "options/generate_blur/GOPRO_wVAE.pth"
        path.parent.mkdir(parents=True)
        path.touch()
        wanted = json.dumps(str(path.relative_to(tmp_path)))
        transfer = ["known.source=transfer", f"known.extractor={wanted}"]
        assert settings.known_blur(found(known=3), "") == (transfer, [])

    def test_transfer_with_the_extractor_of_the_published_settings(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        (tmp_path / "options/generate_blur").mkdir(parents=True)
        (tmp_path / "options/generate_blur/augmentation.yml").write_text(
            "KernelWizard:\n  pretrained: weights/mine.pth  # trained here\n  nf: 64\n"
        )
        assert settings.known_blur(found(known=3), "")[0] == ["known.source=pairs"]
        (tmp_path / "weights").mkdir()
        (tmp_path / "weights/mine.pth").touch()
        overrides, _ = settings.known_blur(found(known=3), "")
        assert overrides == ["known.source=transfer", 'known.extractor="weights/mine.pth"']

    def test_transfer_with_an_extractor_that_is_named(self, tmp_path):
        path = tmp_path / "my extractor.safetensors"
        path.touch()
        overrides, _ = settings.known_blur(found(known=3), str(path))
        values = settings_.apply_overrides({}, overrides)
        assert values == {"known": {"source": "transfer", "extractor": str(path)}}

    def test_an_extractor_that_is_not_there_is_refused(self):
        with pytest.raises(CheckpointError, match=r"no kernel extractor 'gone\.pth'"):
            settings.known_blur(found(known=3), "gone.pth")


class TestFind:
    def test_by_epoch_and_iteration(self, tmp_path):
        for name in ("latest_net_G.pth", "4_net_G.pth", "iter_9_net_G.pth", "12_net_G.pth"):
            (tmp_path / name).touch()

        def find(epoch: str, iteration: int = 0) -> str:
            return weight_files.find_converter(tmp_path, epoch, iteration).name

        assert find("latest") == "latest_net_G.pth"
        assert find("4") == "4_net_G.pth"
        assert find("latest", 9) == "iter_9_net_G.pth"
        assert find("latest", 12) == "12_net_G.pth"  # what the published test.py looks for
        (tmp_path / "last.safetensors").touch()
        (tmp_path / "best.safetensors").touch()
        assert find("latest") == "last.safetensors"
        assert find("best") == "best.safetensors"
        with pytest.raises(CheckpointError, match=r"epoch '7' \(7_net_G.pth\); there: 12_net_G"):
            find("7")
        with pytest.raises(CheckpointError, match=r"iteration 5 \(iter_5_net_G.pth or 5_net_G"):
            find("latest", 5)

    def test_no_run(self, tmp_path):
        with pytest.raises(CheckpointError, match=r"train.py with the same --name"):
            weight_files.find_converter(tmp_path / "none", "latest", 0)


@pytest.mark.parametrize(
    ("words", "first"),
    [
        ({}, "model.0.weight"),
        ({"norm": "instance", "layers": 1}, "model.0.weight"),
        ({"layers": 0}, "parts.0.0.convs.0.weight"),
        ({"shared": False}, "parts.0.0.convs.0.weight"),
        ({"norm": "spectral"}, "parts.0.0.convs.0.bias"),
        ({"kind": "both"}, "parts.0.0.convs.0.weight"),
        ({"kind": "energy"}, "parts.0.0."),
    ],
)
def test_every_discriminator_can_be_written(words, first):
    from blur2blur.networks.patchgan import DiscriminatorOptions, MultiScaleDiscriminator

    options = DiscriminatorOptions(**{"base_channels": 1, "shared": True} | words)
    state = MultiScaleDiscriminator(options).state_dict()
    written = weight_files._discriminator_to_reference(state)
    assert next(iter(written)).startswith(first)
    assert len(written) == len(state)


def test_generators_are_networks_that_exist():
    from blur2blur import networks

    for name, options in GENERATORS.values():
        with torch.device("meta"):
            networks.build(name, **options)
