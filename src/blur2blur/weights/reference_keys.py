"""Parameter names of published weight files, and ours for the same parameters.

Pure functions on dictionaries of tensors; nothing is read and no network is built. MIMO-UNet files
name their parts by list positions, ours by what they do; PatchGAN files are a flat sequence; files
of the kernel extractor nest the levels of its U-Net. NAFNet files use the names of ours already.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from torch import Tensor

from blur2blur.errors import CheckpointError

# "#" stands for a number, kept in its place
MIMO_UNET: tuple[tuple[str, str], ...] = (
    ("Encoder.#.layers.#.main.0.main.0", "encoders.#.#.conv1"),
    ("Encoder.#.layers.#.main.1.main.0", "encoders.#.#.conv2"),
    ("Decoder.#.layers.#.main.0.main.0", "decoders.#.#.conv1"),
    ("Decoder.#.layers.#.main.1.main.0", "decoders.#.#.conv2"),
    ("feat_extract.0.main.0", "stem"),
    ("feat_extract.1.main.0", "downs.0"),
    ("feat_extract.2.main.0", "downs.1"),
    ("feat_extract.3.main.0", "ups.0"),
    ("feat_extract.4.main.0", "ups.1"),
    ("feat_extract.5.main.0", "head_full"),
    ("Convs.#.main.0", "merges.#"),
    ("ConvsOut.0.main.0", "head_quarter"),
    ("ConvsOut.1.main.0", "head_half"),
    ("AFFs.0.conv.0.main.0", "aff_full.reduce"),
    ("AFFs.0.conv.1.main.0", "aff_full.merge"),
    ("AFFs.1.conv.0.main.0", "aff_half.reduce"),
    ("AFFs.1.conv.1.main.0", "aff_half.merge"),
    ("FAM1.merge.main.0", "fam_quarter.merge"),
    ("FAM2.merge.main.0", "fam_half.merge"),
    ("SCM1.main.#.main.0", "scm_quarter.convs.#"),
    ("SCM1.conv.main.0", "scm_quarter.merge"),
    ("SCM2.main.#.main.0", "scm_half.convs.#"),
    ("SCM2.conv.main.0", "scm_half.merge"),
)

# layers with a normalisation and an activation in between lie three apart
PATCHGAN: tuple[tuple[str, str], ...] = (
    ("model.0", "convs.0"),
    *((f"model.{3 * i - 1}", f"convs.{i}") for i in range(1, 8)),
)

# reference: feature_extractor has its convolutions at 0, 2, 4, and blocks from here on
_FEATURE_BLOCK = 6
_CODE_BLOCK = 19
_UNET_LEVELS = 5
_MOST_BLOCKS = 64

SHARED_PATCHGAN = "parts.0.0."
"""Where a `MultiScaleDiscriminator` keeps a PatchGAN that all scales share."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """A published weight file in our terms: `build(name, **options).load_state_dict(state)`."""

    name: str
    options: dict[str, Any]
    state: dict[str, Tensor]


def unwrap(content: Mapping[str, Any]) -> dict[str, Tensor]:
    """Return the parameters in a loaded file, without wrapper and `module.` prefix.

    Raises:
        CheckpointError: it holds something else than tensors.
    """
    for wrapper in ("params_ema", "params", "model", "state_dict"):
        if isinstance(content.get(wrapper), Mapping):
            content = cast(Mapping[str, Any], content[wrapper])
            break
    named: dict[str, Tensor] = {}
    for key, value in cast(Mapping[object, object], content).items():
        if not isinstance(key, str) or not isinstance(value, Tensor):
            raise CheckpointError(
                f"'{key}' is a {type(value).__name__}; a weight file must map names to tensors"
            )
        named[key.removeprefix("module.")] = value
    return named


def is_known(content: Mapping[str, Any]) -> bool:
    """Tell whether `import_network` recognises the content of a file."""
    try:
        return _reader(unwrap(content)) is not None
    except CheckpointError:
        return False


def import_network(content: Mapping[str, Any]) -> Imported:
    """Recognise a published network by its parameter names and shapes.

    MIMO-UNet, MIMO-UNet+, NAFNet, the kernel extractor with or without VAE, and the discriminator
    of Blur2Blur (PatchGAN with instance normalisation, one for all scales).

    Args:
        content: the loaded file, wrapped and prefixed or not.

    Raises:
        CheckpointError: none of these networks.
    """
    state = unwrap(content)
    read = _reader(state)
    if read is None:
        raise CheckpointError(
            f"weights beginning with '{next(iter(state), '')}' are of no known network; known: "
            "MIMO-UNet, MIMO-UNet+, NAFNet, kernel extractor, PatchGAN"
        )
    return read(state)


def _reader(state: Mapping[str, Tensor]) -> Callable[[dict[str, Tensor]], Imported] | None:
    for sign, (kernel_px, read) in _SIGNS.items():
        if sign in state and state[sign].ndim == 4 and state[sign].shape[-1] == kernel_px:
            return read
    return None


def _import_mimo_unet(state: dict[str, Tensor]) -> Imported:
    blocks = _count(state, "Encoder.0.layers.")
    return Imported(
        name="mimo_unet_plus" if blocks == 20 else "mimo_unet",
        options={
            "base_channels": len(state["feat_extract.0.main.0.weight"]),
            "blocks": blocks,
            "downsampling": "nearest",
        },
        state=mimo_unet_to_ours(state),
    )


def _import_nafnet(state: dict[str, Tensor]) -> Imported:
    levels = range(_count(state, "encoders."))
    return Imported(
        name="nafnet",
        options={
            "width": len(state["intro.weight"]),
            "encoder_blocks": [_count(state, f"encoders.{level}.") for level in levels],
            "middle_blocks": _count(state, "middle_blks."),
            "decoder_blocks": [_count(state, f"decoders.{level}.") for level in levels],
        },
        state=state,
    )


def _import_kernel_wizard(state: dict[str, Tensor]) -> Imported:
    width = len(state["feature_extractor.0.weight"])
    innermost = f"adapter.model.{'submodule.' * (_UNET_LEVELS - 1)}up.1.weight"
    last_block = f"kernel_extractor.model.{_CODE_BLOCK}.conv_block.1.weight"
    if innermost not in state or last_block not in state:
        raise CheckpointError(f"a kernel extractor without {innermost} or {last_block}")
    code_channels = len(state[innermost]) - 8 * width
    options = {
        "channels": width,
        # of 3 convolutions and the blocks
        "feature_blocks": _count(state, "feature_extractor.") - 3,
        "levels": _UNET_LEVELS,
        "code_channels": code_channels,
        # of a stem, the convolutions of the levels, and the blocks
        "code_blocks": _count(state, "kernel_extractor.model.") - 1 - _UNET_LEVELS,
        # of the blocks and 4 convolutions
        "trunk_blocks": _count(state, "recon_trunk.") - 4,
        "vae": len(state[last_block]) == 2 * code_channels,
    }
    return Imported(name="kernel_wizard", options=options, state=kernel_wizard_to_ours(state))


def _import_patchgan(state: dict[str, Tensor]) -> Imported:
    ours = patchgan_to_ours(state)
    return Imported(
        name="discriminator",
        options={
            "base_channels": len(state["model.0.weight"]),
            "layers": _count(ours, "convs.") - 2,
            "norm": "instance",
            "scales": 3,
            "shared": True,
        },
        state={f"{SHARED_PATCHGAN}{key}": value for key, value in ours.items()},
    )


# a parameter that tells the network, and the side of its kernel
_SIGNS: Mapping[str, tuple[int, Callable[[dict[str, Tensor]], Imported]]] = {
    "feat_extract.0.main.0.weight": (3, _import_mimo_unet),
    "middle_blks.0.sca.1.weight": (1, _import_nafnet),
    "kernel_extractor.model.1.weight": (7, _import_kernel_wizard),
    "model.0.weight": (4, _import_patchgan),
}


def mimo_unet_to_ours(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename published MIMO-UNet(+) parameters. Raises CheckpointError for a foreign name."""
    return _rename(unwrap(state), MIMO_UNET, "MIMO-UNet")


def mimo_unet_to_reference(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename ours of MIMO-UNet(+) as published. Raises CheckpointError for a foreign name."""
    return _rename(state, [(ours, theirs) for theirs, ours in MIMO_UNET], "mimo_unet")


def patchgan_to_ours(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename parameters of a published PatchGAN. Raises CheckpointError for a foreign name."""
    return _rename(unwrap(state), PATCHGAN, "PatchGAN")


def patchgan_to_reference(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename ours of one `PatchGAN` as published. Raises CheckpointError for a foreign name."""
    return _rename(state, [(ours, theirs) for theirs, ours in PATCHGAN], "PatchGAN")


def kernel_wizard_to_ours(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename parameters of a published kernel extractor; raises CheckpointError for others."""
    state = unwrap(state)
    blocks = _count(state, "recon_trunk.") - 4
    return _rename(state, _kernel_wizard_pairs(blocks), "kernel extractor")


def _kernel_wizard_pairs(trunk_blocks: int) -> list[tuple[str, str]]:
    pairs = [(f"feature_extractor.{2 * i}", f"stem.{i}") for i in range(3)]
    pairs += [("kernel_extractor.model.1", "extractor.stem")]
    for level in range(_UNET_LEVELS):
        down = f"kernel_extractor.model.{4 + 3 * level}"
        pairs.append((down, f"extractor.downs.{level}"))
        unet = f"adapter.model.{'submodule.' * level}"
        # the outermost convolution has no activation before it
        pairs.append((f"{unet}down.{min(level, 1)}", f"adapter.downs.{level}"))
        pairs.append((f"{unet}up.1", f"adapter.ups.{_UNET_LEVELS - 1 - level}"))
    for block in range(_MOST_BLOCKS):
        for number in (1, 2):
            features = f"feature_extractor.{_FEATURE_BLOCK + block}.conv{number}"
            pairs.append((features, f"feature_blocks.{block}.conv{number}"))
            code = f"kernel_extractor.model.{_CODE_BLOCK + block}.conv_block.{4 * number - 3}"
            pairs.append((code, f"extractor.blocks.{block}.conv{number}"))
    pairs += [("recon_trunk.#.conv#", "trunk.#.conv#")]
    # a shuffle and an activation follow each enlargement, an activation the merge
    tail = {"ups.0": 0, "ups.1": 3, "merge": 6, "head": 8}
    pairs += [(f"recon_trunk.{trunk_blocks + at}", ours) for ours, at in tail.items()]
    return pairs


def _count(state: Mapping[str, Tensor], prefix: str) -> int:
    """Return how many different numbers follow `prefix`."""
    return len({key[len(prefix) :].split(".")[0] for key in state if key.startswith(prefix)})


def _rename(
    state: Mapping[str, Tensor], pairs: Sequence[tuple[str, str]], network: str
) -> dict[str, Tensor]:
    rules = [
        (re.compile(re.escape(old).replace(r"\#", r"(\d+)") + r"(?=\.(weight|bias)$)"), new)
        for old, new in pairs
    ]
    renamed: dict[str, Tensor] = {}
    for key, value in state.items():
        for pattern, new in rules:
            match = pattern.match(key)
            if match:
                numbers = iter(match.groups())
                name = re.sub("#", lambda _, numbers=numbers: str(next(numbers)), new)
                renamed[name + key[match.end() :]] = value
                break
        else:
            raise CheckpointError(f"'{key}' is no parameter of a {network}")
    return renamed
