"""Any kind of image in, the same kind out; what is no image is one clear line."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torchvision import tv_tensors

from blur2blur import images, tensors
from blur2blur.errors import InputError
from blur2blur.images import icc
from blur2blur.inference.kinds import unpack

SIZE = (5, 7)


def _noise(kind: str, *shape: int) -> NDArray[Any]:
    values = np.random.default_rng(0).random(shape)
    if np.issubdtype(kind, np.integer):
        return np.rint(values * np.iinfo(kind).max).astype(kind)
    return values.astype(kind)


def _unchanged(image: Any) -> Any:
    arrays, back = unpack(image)
    assert all(array.dtype == np.float32 for array in arrays)
    assert all(array.shape[2] == 3 for array in arrays)
    return back(arrays)


def _halved(image: Any) -> Any:
    """As a network does, which may write over what it is given."""
    arrays, back = unpack(image)
    for array in arrays:
        array *= np.float32(0.5)
    return back(arrays)


@pytest.mark.parametrize("kind", ["uint8", "uint16", "float16", "float32", "float64"])
@pytest.mark.parametrize("channels", [(), (1,), (2,), (3,), (4,)])
def test_an_array_comes_back_as_it_was(kind: str, channels: tuple[int, ...]) -> None:
    image = _noise(kind, *SIZE, *channels)
    before = image.copy()
    result = _unchanged(image)
    assert (result.dtype, result.shape) == (image.dtype, image.shape)
    tolerance = 0 if np.issubdtype(kind, np.integer) else 1e-3 if kind == "float16" else 1e-6
    np.testing.assert_allclose(result, image, rtol=0, atol=tolerance)
    halved = _halved(image)
    assert np.array_equal(image, before)
    transparent = channels in ((2,), (4,))
    if transparent:
        assert np.array_equal(halved[..., -1], image[..., -1])
    colours = (slice(None), slice(None), slice(0, -1)) if transparent else ...
    step = 1 if np.issubdtype(kind, np.integer) else 1e-3
    np.testing.assert_allclose(halved[colours], image[colours] / 2, rtol=0, atol=step)


def test_values_are_parts_of_the_largest() -> None:
    for kind, largest in (("uint8", 255), ("uint16", 65535)):
        (pixels,), _ = unpack(np.array([[[0, 1, largest]]], kind))
        np.testing.assert_allclose(pixels, [[[0, 1 / largest, 1]]], rtol=1e-6)


def test_grey_is_the_mean_of_what_came_of_its_three_channels() -> None:
    (pixels,), back = unpack(np.full(SIZE, 90, np.uint8))
    assert np.array_equal(pixels, np.full((*SIZE, 3), 90 / 255, np.float32))
    pixels[..., 0] += np.float32(30 / 255)
    assert np.array_equal(back([pixels]), np.full(SIZE, 100, np.uint8))


def test_whole_numbers_are_rounded() -> None:
    _, back = unpack(np.zeros((1, 2, 3), np.uint8))
    values = np.array([0.4999, 0.5001], np.float32) / np.float32(255)
    assert back([np.tile(values[None, :, None], 3)])[0, :, 0].tolist() == [0, 1]


@pytest.mark.parametrize(
    "made",
    [
        lambda image: image[::-1, ::-1],
        lambda image: image.transpose(1, 0, 2),
        lambda image: image[..., ::-1],
        lambda image: np.asfortranarray(image),
        lambda image: image.astype(">u2"),
        lambda image: np.broadcast_to(image[:1], image.shape),
    ],
)
def test_views_and_other_orders_of_memory_are_images(made: Any) -> None:
    image = made(_noise("uint16", *SIZE, 3))
    result = _unchanged(image)
    assert result.dtype == image.dtype
    assert np.array_equal(result, image)


def test_an_array_that_must_not_be_written_is_an_image() -> None:
    image = _noise("float32", *SIZE, 3)
    image.flags.writeable = False
    np.testing.assert_allclose(_halved(image), image / 2)


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA"])
def test_a_pil_image_comes_back_in_its_mode(mode: str) -> None:
    image = Image.fromarray(_noise("uint8", *SIZE, 4), "RGBA").convert(mode)
    result = _unchanged(image)
    assert (result.mode, result.size) == (mode, image.size)
    assert result.tobytes() == image.tobytes()
    if mode.endswith("A"):
        assert _halved(image).getchannel("A").tobytes() == image.getchannel("A").tobytes()


@pytest.mark.parametrize(
    ("mode", "way"),
    [
        ("1", "image.convert"),
        ("P", "image.convert"),
        ("CMYK", "image.convert"),
        ("I", "an array"),  # whose conversion would cut off all above 255
        ("F", "an array"),
    ],
)
def test_another_mode_of_pil_is_refused_with_the_way_out(mode: str, way: str) -> None:
    with pytest.raises(InputError, match=rf"mode {mode} is not taken; give {way}"):
        unpack(Image.new(mode, SIZE))


def test_a_pil_image_of_16_bits_comes_back_in_16_bits() -> None:
    image = Image.fromarray(_noise("uint16", *SIZE))
    assert image.mode == "I;16"
    assert _unchanged(image).tobytes() == image.tobytes()


def test_of_a_pil_image_and_of_its_path_the_same_is_made(tmp_path: Path) -> None:
    """Upright and in sRGB, whatever the file says."""
    exif = Image.Exif()
    exif[274] = 6
    profile = icc.profile_of_code_points(1, 8)  # primaries of sRGB, linear light
    assert profile is not None
    image = Image.fromarray(_noise("uint8", *SIZE, 3))
    image.save(tmp_path / "a.png", exif=exif, icc_profile=profile)
    with Image.open(tmp_path / "a.png") as opened:
        of_image = _unchanged(opened)
    of_path = _unchanged(tmp_path / "a.png")
    assert of_image.size == of_path.size == image.size[::-1]
    assert np.array_equal(np.asarray(of_image), np.asarray(of_path))
    assert np.asarray(of_image).mean() > np.asarray(image).mean() + 30


@pytest.mark.parametrize("as_text", [True, False])
def test_of_a_path_a_pil_image_is_made(tmp_path: Path, as_text: bool) -> None:
    pixels = _noise("float32", *SIZE, 3)
    images.write_rgb(tmp_path / "photo.png", pixels)
    path = tmp_path / "photo.png"
    result = _unchanged(str(path) if as_text else path)
    assert result.mode == "RGB"
    assert np.array_equal(np.asarray(result), images.read_rgb_uint8(path))
    with pytest.raises(InputError, match="no file"):
        unpack(tmp_path / "missing.png")


@pytest.mark.parametrize("kind", [torch.float32, torch.float64, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("batch", [(), (1,), (2,)])
def test_a_tensor_comes_back_as_it_was(kind: torch.dtype, batch: tuple[int, ...]) -> None:
    image = torch.rand(*batch, 3, *SIZE).to(kind)
    before = image.clone()
    assert len(unpack(image)[0]) == (batch or (1,))[0]
    result = _unchanged(image)
    assert (result.dtype, result.shape) == (kind, image.shape)
    torch.testing.assert_close(result, image, rtol=0, atol=1e-6)
    torch.testing.assert_close(_halved(image), image / 2)
    assert torch.equal(image, before)


def test_a_tensor_that_shares_an_arrays_memory_leaves_it_alone() -> None:
    """The usual way from an array to a tensor is a view of it."""
    array = _noise("float32", *SIZE, 3)
    before = array.copy()
    halved = _halved(torch.from_numpy(array).permute(2, 0, 1))
    assert np.array_equal(array, before)
    np.testing.assert_allclose(tensors.to_array(halved), before / 2)


def test_a_tensor_with_gradients_is_an_image() -> None:
    image = torch.rand(3, *SIZE, requires_grad=True)
    result = _unchanged(image)
    assert not result.requires_grad
    torch.testing.assert_close(result, image.detach())


def test_tensors_of_classes_made_of_tensor_are_images() -> None:
    """Such as those of torchvision and parameters."""
    image = torch.rand(3, *SIZE)
    for made in (torch.nn.Parameter(image), tv_tensors.Image(image)):
        torch.testing.assert_close(torch.as_tensor(_unchanged(made)), image)


def test_rounding_of_filters_is_no_mistake() -> None:
    """Values a little outside come of resizing and of changes of colour space."""
    assert _unchanged(np.full((*SIZE, 3), 1.0005, np.float32)).max() < 1.001


@pytest.mark.parametrize(
    ("image", "met"),
    [
        (np.zeros((*SIZE, 5), np.uint8), r"shape \(5, 7, 5\)"),
        (np.zeros((1, *SIZE, 3), np.uint8), r"shape \(1, 5, 7, 3\)"),
        (np.zeros(7, np.uint8), r"shape \(7,\)"),
        (np.zeros((), np.uint8), r"shape \(\)"),
        (np.zeros((0, 7, 3), np.uint8), r"shape \(0, 7, 3\)"),
        (np.zeros((*SIZE, 0), np.uint8), r"shape \(5, 7, 0\)"),
        (np.zeros((0, 7), np.float32), r"shape \(0, 7\)"),
        (np.zeros((*SIZE, 3), np.int64), "array of int64"),
        (np.zeros((*SIZE, 3), np.int8), "array of int8"),
        (np.zeros((*SIZE, 3), np.uint32), "array of uint32"),
        (np.zeros((*SIZE, 3), bool), "array of bool"),
        (np.zeros((*SIZE, 3), np.complex64), "array of complex64"),
        (np.zeros((*SIZE, 3), object), "array of object"),
        (np.full((*SIZE, 3), "a"), "array of <U1"),
        (np.full((*SIZE, 3), 255.0), r"from 255 to 255; divide 8-bit values by 255"),
        (np.full((*SIZE, 3), -0.5, np.float16), "from -0.5 to -0.5"),
        (np.full((*SIZE, 3), np.nan, np.float32), "from nan to nan"),
        (np.full((*SIZE, 3), np.inf, np.float32), "from inf to inf"),
        (np.full((*SIZE, 3), 1e300), "from inf to inf"),
        (torch.zeros(3, 8, 8, dtype=torch.uint8), "tensor of torch.uint8"),
        (torch.zeros(1, 8, 8), r"shape \(1, 8, 8\)"),
        (torch.zeros(8, 8), r"shape \(8, 8\)"),
        (torch.zeros(8), r"shape \(8,\)"),
        (torch.zeros(()), r"shape \(\)"),
        (torch.zeros(3, 0, 8), r"shape \(3, 0, 8\)"),
        (torch.zeros(0, 3, 8, 8), r"shape \(0, 3, 8, 8\)"),
        (torch.full((3, 8, 8), 255.0), "from 255 to 255"),
        (torch.full((2, 3, 8, 8), float("nan")), "from nan to nan"),
        (torch.nn.Conv2d(3, 3, 1), "not a Conv2d"),
        (None, "not a NoneType"),
        (7, "not a int"),
        (b"photo.png", "not a bytes"),
        ({"image": 1}, "not a dict"),
    ],
)
def test_what_is_no_image_is_one_clear_line(image: Any, met: str) -> None:
    with pytest.raises(InputError, match=met) as error:
        unpack(image)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA"])
def test_of_a_path_transparency_and_grey_stay(tmp_path: Path, mode: str) -> None:
    image = Image.fromarray(_noise("uint8", *SIZE, 4), "RGBA").convert(mode)
    image.save(tmp_path / "photo.png")
    result = _unchanged(tmp_path / "photo.png")
    assert result.mode == mode
    before, after = (np.asarray(each.convert("RGBA")) for each in (image, result))
    assert np.array_equal(after[..., 3], before[..., 3])
    assert np.array_equal(after[before[..., 3] > 0], before[before[..., 3] > 0])
