"""Every option of the published `train.py` and `test.py`, and what becomes of it here.

An option is mapped onto settings, accepted without effect (one line says why, where its value asks
for something else than what happens), or refused beyond the values that are possible.
"""

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass
from typing import Literal

Script = Literal["train", "test"]
Value = bool | int | float | str | list[str]


@dataclass(frozen=True, slots=True)
class Option:
    """One option.

    Attributes:
        name: without dashes.
        default: its value where it is not given; its type is the option's. A list collects repeated
            uses.
        here: what it does here; for an idle option, why it does nothing.
        scripts: where it exists.
        idle: accepted without effect.
        harmless: values of an idle option that ask for what happens anyway.
        choices: the possible values, where they are few.
        way_out: what to do instead of a value that is not possible.
        own: it is this project's, not the published code's.
    """

    name: str
    default: Value
    here: str
    _: KW_ONLY
    scripts: tuple[Script, ...] = ("train", "test")
    idle: bool = False
    harmless: tuple[Value, ...] = ()
    choices: tuple[str, ...] = ()
    way_out: str = ""
    own: bool = False


GENERATORS: Mapping[str, tuple[str, Mapping[str, int]]] = {
    "mimounet": ("mimo_unet", {}),
    "mimounetp": ("mimo_unet_plus", {}),
    "unet_128": ("unet", {"levels": 7}),
    "unet_256": ("unet", {"levels": 8}),
    "resnet_6blocks": ("resnet", {"blocks": 6}),
    "resnet_9blocks": ("resnet", {"blocks": 9}),
}
"""Values of --netG: the network here and the options that make it that one."""

_TRAIN: tuple[Script, ...] = ("train",)
_TEST: tuple[Script, ...] = ("test",)
_PREPROCESSING = (
    "resize_and_crop", "resize_crop", "crop", "scale_width", "scale_width_and_crop", "padding",
    "none",
)  # fmt: skip
_NATIVE_SIZE = (
    "nothing is resized: training cuts crops of --crop_size at the photographs' own size, which "
    "is the size that test.py converts"
)
_START = "networks begin as the identity, with a variance that fits their depth"
_NO_WEB_DISPLAY = "there is no visdom display; TensorBoard reads RUN/tensorboard"


def _ignored(
    name: str,
    default: Value,
    why: str,
    *harmless: Value,
    scripts: tuple[Script, ...] = ("train", "test"),
    choices: tuple[str, ...] = (),
) -> Option:
    return Option(
        name, default, why, scripts=scripts, idle=True, harmless=harmless, choices=choices
    )


OPTIONS: tuple[Option, ...] = (
    # data and place
    Option("dataroot", "", "the data folder; it must be given"),
    Option("name", "experiment_name", "the run is in CHECKPOINTS_DIR/NAME"),
    Option("suffix", "", "appended to the name after `_`; `{option}` stands for an option's value"),
    Option("checkpoints_dir", "./ckpts", "where runs are"),
    Option(
        "gpu_ids",
        "0",
        "`-1` is the CPU; else the first one named is used, where there is a GPU at all; "
        "torchrun starts one process for each of several",
    ),
    Option(
        "dataset_mode",
        "unaligned",
        "`unaligned`: trainA to trainD, testA",
        choices=("unaligned",),
        way_out="photographs belong into trainA to trainD and testA, see docs/data.md",
    ),
    Option(
        "direction",
        "AtoB",
        "`AtoB`: trainA is what is converted",
        choices=("AtoB",),
        way_out="exchange the names of the folders instead",
    ),
    Option(
        "phase",
        "train",
        "`train`",
        scripts=_TRAIN,
        choices=("train",),
        way_out="training reads trainA to trainD",
    ),
    Option(
        "phase",
        "test",
        "the photographs are in `{phase}A`, their truth, where there is one, in `{phase}B`",
        scripts=_TEST,
    ),
    _ignored("type", "train", "the published method does not read it", "test"),
    Option(
        "max_dataset_size",
        -1,
        "every photograph of a folder takes part (the published default is infinite)",
        scripts=_TRAIN,
        choices=("-1", "inf"),
        way_out="take photographs out of the folders instead",
    ),
    Option(
        "max_dataset_size",
        -1,
        "photographs at most, `-1` or `inf` for all (the published default is infinite)",
        scripts=_TEST,
    ),
    _ignored(
        "ratio",
        0.6,
        "every photograph of trainA and trainB is used; `blur2blur data split` deals them out",
    ),
    _ignored("serial_batches", False, "the order depends on the seed", scripts=_TRAIN),
    _ignored("serial_batches", False, "the order is that of the names", True, scripts=_TEST),
    Option("num_threads", 4, "`data.workers`, at most one for each core", scripts=_TRAIN),
    _ignored(
        "num_threads", 4, "photographs are decoded one by one, in one process", 0, scripts=_TEST
    ),
    Option("batch_size", 1, "`data.batch_size`", scripts=_TRAIN),
    Option("batch_size", 1, "tiles converted at once", scripts=_TEST),
    _ignored("load_size", 512, _NATIVE_SIZE),
    Option("crop_size", 256, "`data.crop_px`", scripts=_TRAIN),
    _ignored("crop_size", 256, "whole photographs are converted, tile by tile", scripts=_TEST),
    *(
        _ignored(name, "resize_and_crop", _NATIVE_SIZE, "crop", choices=_PREPROCESSING)
        for name in ("preprocessA", "preprocessB")
    ),
    Option(
        "no_flip",
        False,
        "`data.rotations=false`; crops are mirrored at random all the same",
        scripts=_TRAIN,
    ),
    _ignored("no_flip", False, "photographs are not mirrored", True, scripts=_TEST),
    # networks
    Option(
        "model",
        "blur2blur",
        "`blur2blur` (the published default is `cycle_gan`, of test.py `test`)",
        choices=("blur2blur",),
        way_out="this is no collection of methods",
    ),
    Option(
        "netG",
        "mimounet",
        "`network.name` and its options, see the table of generators (the published default is "
        "`unet_256`); test.py refuses weights of another one than it is given",
        choices=tuple(GENERATORS),
    ),
    Option(
        "netD",
        "basic",
        "`discriminator.layers`: `basic` 3, `n_layers` --n_layers_D, `pixel` 0",
        scripts=_TRAIN,
        choices=("basic", "n_layers", "pixel"),
    ),
    Option("n_layers_D", 3, "`discriminator.layers`, for `n_layers`", scripts=_TRAIN),
    Option(
        "ngf",
        0,
        "`network.options.base_channels`; 0 is the published width: 64, and 32 for MIMO-UNet, "
        "whose width could not be chosen",
        scripts=_TRAIN,
    ),
    Option("ndf", 64, "`discriminator.base_channels`", scripts=_TRAIN),
    Option(
        "norm",
        "instance",
        "`discriminator.norm`, and of `unet` and `resnet` `network.options.norm` (the "
        "published default is `batch`)",
        scripts=_TRAIN,
        choices=("instance", "none"),
        way_out="batch statistics of one crop are instance normalisation: use --norm instance, or "
        "--norm none",
    ),
    Option(
        "no_dropout",
        False,
        "`network.options.dropout=0` for `mimounetp`; the others drop nothing",
        scripts=_TRAIN,
    ),
    *(
        _ignored(name, default, "the weight file tells", scripts=_TEST)
        for name, default in (
            ("netD", "basic"),
            ("n_layers_D", 3),
            ("ngf", 0),
            ("ndf", 64),
            ("norm", "instance"),
            ("no_dropout", False),
        )
    ),
    Option("input_nc", 3, "3", choices=("3",), way_out="grey photographs are read as RGB"),
    Option("output_nc", 3, "3", choices=("3",), way_out="grey photographs are read as RGB"),
    _ignored("init_type", "normal", _START, choices=("normal", "xavier", "kaiming", "orthogonal")),
    _ignored("init_gain", 0.02, _START),
    *(
        _ignored(name, default, "the published method does not read it")
        for name, default in (("num_Ds", 2), ("nz", 512), ("nl", "relu"), ("where_add", "all"))
    ),
    # losses
    Option(
        "gan_mode",
        "hinge",
        "`loss.adversarial`: `hinge`, `lsgan` least_squares, `vanilla` logistic, `wgangp` "
        "wasserstein",
        scripts=_TRAIN,
        choices=("hinge", "lsgan", "vanilla", "wgangp"),
    ),
    Option(
        "lambda_Perc",
        0.8,
        "`loss.content_weight`, three times as much: it is the mean over three sizes there, "
        "which were summed",
        scripts=_TRAIN,
    ),
    Option(
        "lambda_gp",
        0.0001,
        "`loss.penalty_weight`, twice as much: it stands beside the sum of the "
        "discriminator's two losses, not their mean; 0 is `loss.penalty=none`",
        scripts=_TRAIN,
    ),
    _ignored(
        "pool_size",
        0,
        "the published method keeps no pool of earlier images either",
        scripts=_TRAIN,
    ),
    _ignored("mask_ratio", 0.2, "the published method does not read it", scripts=_TRAIN),
    # length and learning rate
    Option(
        "n_epochs",
        100,
        "epochs before the rate falls; `run.steps` is all epochs, each as many samples as the "
        "larger of trainA and trainB has photographs",
        scripts=_TRAIN,
    ),
    Option(
        "n_epochs_decay",
        200,
        "epochs after that; the rate falls towards zero but stays above it",
        scripts=_TRAIN,
    ),
    Option(
        "epoch_count",
        1,
        "number of the first epoch, which shortens the run; without meaning for "
        "--continue_train, which knows where it stands",
        scripts=_TRAIN,
    ),
    Option(
        "lr", 0.0002, "`optimiser.learning_rate` and `discriminator.learning_rate`", scripts=_TRAIN
    ),
    Option("beta1", 0.5, "`optimiser.beta1`", scripts=_TRAIN),
    Option(
        "lr_policy",
        "linear",
        "`optimiser.schedule`; `plateau` watches the validation, `cosine` lasts the whole run",
        scripts=_TRAIN,
        choices=("linear", "step", "plateau", "cosine"),
    ),
    Option("lr_decay_iters", 50, "`optimiser.decay_every`, in epochs, for `step`", scripts=_TRAIN),
    # what is kept
    Option(
        "continue_train",
        False,
        "goes on with the run of that name, exactly, and fails where there is none; without "
        "it the same command goes on too, and another one is refused",
        scripts=_TRAIN,
    ),
    Option(
        "epoch",
        "latest",
        "`latest`: a run is resumed from its last checkpoint",
        scripts=_TRAIN,
        choices=("latest",),
        way_out="other weights can begin a new run: another --name, and --set init=FILE",
    ),
    Option(
        "epoch",
        "latest",
        "`latest`, the number of an epoch, or `best` (by validation)",
        scripts=_TEST,
    ),
    _ignored("load_iter", 0, "a run is resumed from its last checkpoint", scripts=_TRAIN),
    Option(
        "load_iter",
        0,
        "where above 0, `iter_N_net_G.pth` or `N_net_G.pth` instead of --epoch",
        scripts=_TEST,
    ),
    Option(
        "save_latest_freq",
        5000,
        "`run.checkpoint_every`, in samples: last.safetensors, state.pt, `latest_net_*.pth`",
        scripts=_TRAIN,
    ),
    Option("save_epoch_freq", 2, "epochs between `N_net_G.pth` and `N_net_D.pth`", scripts=_TRAIN),
    Option(
        "save_by_iter",
        False,
        "keeps every --save_latest_freq as `iter_N_net_*.pth`",
        scripts=_TRAIN,
    ),
    Option("print_freq", 100, "`run.log_every`, in samples", scripts=_TRAIN),
    Option(
        "update_html_freq",
        1000,
        "`run.samples_every`, in samples: sample sheets in RUN/samples",
        scripts=_TRAIN,
    ),
    Option("no_html", False, "one sample sheet, at the end", scripts=_TRAIN),
    _ignored("display_id", 1, _NO_WEB_DISPLAY, -1, 0, scripts=_TRAIN),
    *(
        _ignored(name, default, _NO_WEB_DISPLAY, scripts=_TRAIN)
        for name, default in (
            ("display_freq", 400),
            ("display_ncols", 4),
            ("display_server", "http://localhost"),
            ("display_env", "main"),
            ("display_port", 1234),
        )
    ),
    _ignored("display_winsize", 500, "the pictures of the pages fit the window"),
    _ignored("use_tensorboard", False, "TensorBoard events are always in RUN/tensorboard", True),
    _ignored(
        "use_wandb",
        False,
        "nothing is sent to Weights & Biases; RUN/log.jsonl and RUN/tensorboard have the numbers",
    ),
    _ignored("wandb_project_name", "Blur2Blur", "nothing is sent to Weights & Biases"),
    _ignored("verbose", False, "RUN/settings.json says all there is to say"),
    # test.py
    Option("results_dir", "./results/", "where results are", scripts=_TEST),
    _ignored("eval", False, "networks are always in evaluation mode", True, scripts=_TEST),
    Option("num_test", -1, "photographs at most, `-1` or `inf` for all", scripts=_TEST),
    Option("delta", 0, "photographs to skip first", scripts=_TEST),
    _ignored("aspect_ratio", 1.0, "results have the shape of the photographs", scripts=_TEST),
    # ours
    Option(
        "extractor",
        "",
        "kernel extractor that transfers the known blur onto trainB; sought at the published "
        "places where it is not given",
        scripts=_TRAIN,
        own=True,
    ),
    Option(
        "set",
        [],
        "any setting, as `--set run.seed=3`, but `run.steps`, `run.checkpoint_every` and "
        "`data.batch_size`, which have options; repeatable, see docs/training.md",
        scripts=_TRAIN,
        own=True,
    ),
    Option(
        "deblurrer",
        "",
        "a deblurrer: the deblurred photographs are written too",
        scripts=_TEST,
        own=True,
    ),
)


def of_script(script: Script) -> list[Option]:
    """Return the options of one script."""
    return [option for option in OPTIONS if script in option.scripts]
