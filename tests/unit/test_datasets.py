"""Training samples: what is drawn, from where, and that nothing but seed and number decides it."""

from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from blur2blur import images
from blur2blur.data.samples import transforms
from blur2blur.data.samples.datasets import (
    Augmentation,
    Pairs,
    Processed,
    StepSampler,
    UnpairedBlur,
)
from blur2blur.data.samples.decoding import DecodedImages
from blur2blur.data.samples.graphics import draw_graphics
from blur2blur.errors import DataError, InputError

CROP_PX = 16


def coded(number: int, height: int, width: int) -> np.ndarray:
    """An image whose red is its row, green its column, blue its number: a crop tells its place."""
    rows, columns = np.mgrid[:height, :width]
    return np.stack([rows, columns, np.full_like(rows, number)], axis=2).astype(np.uint8)


def save(path: Path, pixels: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), pixels[..., ::-1])
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A: 6 images numbered 0-5; B: 4, 10-13; C and D: 5 pairs, 20-24, D shifted by 100 in blue."""
    root = tmp_path_factory.mktemp("coded")
    for number in range(6):
        save(root / f"A/{number}.png", coded(number, 40, 50 + number))
    for number in range(4):
        save(root / f"B/{number}.png", coded(10 + number, 60, 44))
    for number in range(5):
        save(root / f"C/{number}.png", coded(20 + number, 48, 64))
        save(root / f"D/{number}.png", coded(120 + number, 48, 64))
    return root


def files(folder: Path, name: str) -> list[Path]:
    return images.find_images(folder / name)


def pairs(folder: Path, **options: object) -> Pairs:
    streams = {"known_blurry": files(folder, "C"), "known_sharp": files(folder, "D")}
    return Pairs(streams, **{"crop_px": CROP_PX, "seed": 0, **options})


def unpaired(folder: Path, **options: object) -> UnpairedBlur:
    chosen = {"crop_px": CROP_PX, "seed": 0, "samples_per_step": 2, **options}
    known = {"unknown_sharp": files(folder, "B")}
    return UnpairedBlur(unknown_blurry=files(folder, "A"), known=known, **chosen)


def number_of(crop: torch.Tensor) -> int:
    (number,) = crop[2].unique().tolist()
    return number


def test_a_sample_is_a_pure_function_of_seed_and_number(folder: Path):
    first, second = unpaired(folder), unpaired(folder)
    forwards = [first[number] for number in range(20)]
    backwards = [second[number] for number in reversed(range(20))]
    for one, other in zip(forwards, reversed(backwards), strict=True):
        assert one.keys() == other.keys() == {
            "unknown_blurry", "unknown_blurry_file", "unknown_sharp", "unknown_sharp_file",
        }  # fmt: skip
        assert torch.equal(one["unknown_blurry"], other["unknown_blurry"])
        assert torch.equal(one["unknown_sharp"], other["unknown_sharp"])
    reseeded = unpaired(folder, seed=1)
    assert any(
        not torch.equal(forwards[number]["unknown_blurry"], reseeded[number]["unknown_blurry"])
        for number in range(3)
    )


def test_blurry_and_sharp_are_drawn_independently(folder: Path):
    """Every A meets every B about equally often, and so do their places."""
    samples = [unpaired(folder)[number] for number in range(600)]
    met = Counter(
        (number_of(sample["unknown_blurry"]), number_of(sample["unknown_sharp"]))
        for sample in samples
    )
    assert set(met) == {(a, b) for a in range(6) for b in range(10, 14)}
    assert max(met.values()) < 3 * min(met.values())
    tops = torch.tensor(
        [
            [sample[stream][0].min() for stream in ("unknown_blurry", "unknown_sharp")]
            for sample in samples
        ]
    )
    assert abs(torch.corrcoef(tops.float().T)[0, 1]) < 0.15


def test_every_place_flip_and_turn_occurs(folder: Path):
    crops = [pairs(folder)[number]["known_blurry"] for number in range(800)]
    assert {int(crop[0].min()) for crop in crops} == set(range(48 - CROP_PX + 1))
    assert {int(crop[1].min()) for crop in crops} == set(range(64 - CROP_PX + 1))
    corners = {(int(crop[0, 0, 0] > crop[0, -1, -1]), int(crop[1, 0, 0] > crop[1, -1, -1]),
                int(crop[0, 0, 0] == crop[0, 0, -1])) for crop in crops}  # fmt: skip
    assert len(corners) == 8  # the symmetries of the square
    level = Augmentation(rotations=False)
    upright = [pairs(folder, augmentation=level)[number]["known_blurry"] for number in range(20)]
    assert all(crop[0, 0, 0] < crop[0, -1, 0] for crop in upright)
    assert len({int(crop[1, 0, 0] < crop[1, 0, -1]) for crop in upright}) == 2


def test_pairs_are_cut_at_the_same_place_and_turned_alike(folder: Path):
    for number in range(50):
        sample = pairs(folder)[number]
        blurry, sharp = sample["known_blurry"], sample["known_sharp"]
        assert blurry.shape == sharp.shape == (3, CROP_PX, CROP_PX)
        assert blurry.dtype == torch.uint8
        assert torch.equal(blurry[:2], sharp[:2])
        assert number_of(sharp) == number_of(blurry) + 100
        names = [Path(sample[f"known_{side}_file"]) for side in ("blurry", "sharp")]
        assert names[0].name == names[1].name
        assert (names[0].parent.name, names[1].parent.name) == ("C", "D")


def test_colour_jitter_is_equal_on_pairs_and_within_its_strength(folder: Path, tmp_path: Path):
    """Blurry and sharp of a pair stay a pair; a flat grey tells its brightness factor."""
    flat = save(tmp_path / "flat.png", np.full((40, 40, 3), 100, np.uint8))
    streams = {"known_blurry": [flat], "known_sharp": [flat]}
    jitter = Augmentation(colour_jitter=0.2)
    dataset = Pairs(streams, crop_px=CROP_PX, seed=0, augmentation=jitter)
    samples = [dataset[number] for number in range(40)]
    assert all(torch.equal(sample["known_blurry"], sample["known_sharp"]) for sample in samples)
    values = [int(sample["known_blurry"][0, 0, 0]) for sample in samples]
    assert 79 <= min(values) < 90 < 110 < max(values) <= 120
    plain = pairs(folder)[0]["known_blurry"]
    assert not torch.equal(pairs(folder, augmentation=jitter)[0]["known_blurry"], plain)


def test_jitter_without_strength_changes_nothing():
    image = torch.randint(0, 256, (3, 8, 8), dtype=torch.uint8)
    factors = transforms.jitter_factors(0.0, np.random.default_rng(0))
    assert factors == (1.0, 1.0, 1.0)
    assert torch.equal(transforms.jitter_colour(image, factors), image)


def test_the_margin_lies_around_what_a_crop_without_margin_shows(folder: Path):
    sharp = Pairs({"known_sharp": files(folder, "D")}, crop_px=CROP_PX, seed=0, margin_px=5)
    crop = sharp[0]["known_sharp"]
    assert crop.shape == (3, CROP_PX + 10, CROP_PX + 10)
    sample = unpaired(folder, known_margin_px=3)[0]
    assert sample["unknown_blurry"].shape[-1] == CROP_PX
    assert sample["unknown_sharp"].shape[-1] == CROP_PX + 6


def test_shrinking_averages_before_the_crop(folder: Path):
    level = Augmentation(rotations=False)
    dataset = pairs(folder, shrink=(2, 2), augmentation=level, crop_px=24)  # the whole height
    sample = dataset[0]
    rows = sample["known_blurry"][0, :, 0].tolist()
    # rows 2n and 2n + 1 become one; their mean ends in .5, which rounds either way
    assert all(value in (2 * row, 2 * row + 1) for row, value in enumerate(rows))
    odd = DecodedImages([files(folder, "A")[1]], shrink=2)  # 51 wide: the last column is dropped
    assert odd.sizes == [(20, 25)]
    assert odd.file_sizes == [(40, 51)]
    assert odd[0].shape == (20, 25, 3)


def test_each_crop_is_shrunken_by_a_factor_of_its_own(folder: Path):
    """Neighbouring rows of the coded images differ by 1, of a shrunken crop by the factor."""
    level = Augmentation(rotations=False)
    dataset = pairs(folder, shrink=(1, 2), augmentation=level)
    factors = []
    for number in range(200):
        sample = dataset[number]
        crop = sample["known_blurry"].float()
        assert crop.shape == (3, CROP_PX, CROP_PX)
        assert torch.equal(crop[:2], sample["known_sharp"][:2].float())
        factors.append(float(crop[0, -1, 0] - crop[0, 0, 0]) / (CROP_PX - 1))
    drawn = torch.tensor(factors)
    assert 0.95 < drawn.min() < 1.1 < 1.8 < drawn.max() < 2.05
    assert drawn.median() == pytest.approx(2**0.5, abs=0.1)  # uniform in its logarithm
    halves = pairs(folder, shrink=(1.5, 1.5), augmentation=level)[0]["known_blurry"][0, :, 0]
    assert abs(int(halves[-1]) - int(halves[0]) - 1.5 * (CROP_PX - 1)) <= 1


def test_photographs_are_shrunken_no_farther_than_the_crop_fits(folder: Path):
    level = Augmentation(rotations=False)
    dataset = pairs(folder, crop_px=40, shrink=(1, 8), augmentation=level)
    rows = [dataset[number]["known_blurry"][0, :, 0] for number in range(40)]
    heights = [int(of_crop[-1]) - int(of_crop[0]) + 1 for of_crop in rows]
    assert 40 <= min(heights) < 43
    assert 45 < max(heights) <= 48  # all of the photograph


def test_of_several_places_the_one_of_most_detail_is_kept(tmp_path: Path):
    pixels = np.full((64, 64, 3), 128, np.uint8)
    pixels[40:48, 40:48] = np.random.default_rng(0).integers(0, 256, (8, 8, 3))
    streams = {"known_sharp": [save(tmp_path / "corner.png", pixels)]}

    def detailed(places: int) -> int:
        dataset = Pairs(streams, crop_px=16, seed=0, augmentation=Augmentation(places=places))
        return sum(len(dataset[number]["known_sharp"].unique()) > 1 for number in range(100))

    assert detailed(1) < 40 < detailed(4) < 95 < detailed(30)


def test_text_and_lines_are_drawn_on_a_share_of_sharp_crops_alone(folder: Path, tmp_path: Path):
    flat = [save(tmp_path / "flat.png", np.full((80, 80, 3), 100, np.uint8))]
    graphics = Augmentation(graphics=0.3)

    def drawn_on(streams: dict[str, list[Path]], seed: int = 0) -> list[bool]:
        dataset = Pairs(streams, crop_px=64, seed=seed, augmentation=graphics)
        samples = [dataset[number] for number in range(100)]
        return [len(sample["known_sharp"].unique()) > 1 for sample in samples]

    drawn = drawn_on({"known_sharp": flat})
    assert 15 < sum(drawn) < 45
    assert drawn == drawn_on({"known_sharp": flat})
    assert drawn != drawn_on({"known_sharp": flat}, seed=1)
    # nothing would blur them
    assert not any(drawn_on({"known_blurry": flat, "known_sharp": flat}))
    dataset = UnpairedBlur(
        unknown_blurry=flat, known={"unknown_sharp": flat}, crop_px=64, seed=0, samples_per_step=2,
        augmentation=Augmentation(graphics=1),
    )  # fmt: skip
    sample = dataset[0]
    assert len(sample["unknown_blurry"].unique()) == 1
    assert len(sample["unknown_sharp"].unique()) > 1


def test_graphics_depend_on_their_generator_alone_and_leave_the_image_as_it_is():
    image = np.full((60, 90, 3), 100, np.uint8)
    first, again, other = (draw_graphics(image, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert first.shape == image.shape
    assert first.dtype == np.uint8
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert (image == 100).all()
    changed = [
        (draw_graphics(image, np.random.default_rng(seed)) != image).any(axis=2).mean()
        for seed in range(40)
    ]
    assert 0.001 < min(changed) < 0.3 < max(changed)


def test_an_uncached_photograph_is_decoded_once_for_a_sample(
    folder: Path, monkeypatch: pytest.MonkeyPatch
):
    dataset = pairs(folder, augmentation=Augmentation(places=3))
    read: list[Path] = []
    original = images.read_rgb_uint8
    monkeypatch.setattr(
        images, "read_rgb_uint8", lambda path: (read.append(path), original(path))[1]
    )
    sample = dataset[0]
    assert read == [Path(sample["known_blurry_file"]), Path(sample["known_sharp_file"])]


def brightened(streams: dict[str, torch.Tensor], rng: torch.Generator) -> dict:
    (image,) = streams.values()
    assert image.shape == (1, 3, CROP_PX, CROP_PX)
    assert image.dtype == torch.float32
    factor = torch.rand((), generator=rng)
    return {"bright": (image + factor).clamp(max=1), "dark": image / 2, "factor": factor[None]}


def test_what_is_processed_is_a_pure_function_of_seed_and_number(folder: Path):
    def processed(seed: int = 0) -> Processed:
        sharp = Pairs({"known_sharp": files(folder, "D")}, crop_px=CROP_PX, seed=0)
        return Processed(sharp, brightened, seed=seed)

    first, second, reseeded = processed(), processed(), processed(seed=1)
    forwards = [first[number] for number in range(8)]
    backwards = [second[number] for number in reversed(range(8))]
    for number, (one, other) in enumerate(zip(forwards, reversed(backwards), strict=True)):
        assert one.keys() == {"bright", "dark", "factor", "known_sharp_file"}
        assert all(torch.equal(one[key], other[key]) for key in ("bright", "dark", "factor"))
        assert one["bright"].shape == (3, CROP_PX, CROP_PX)
        assert one["bright"].dtype == torch.uint8
        # the same crop of the other seed, with other random numbers
        assert torch.equal(one["dark"], reseeded[number]["dark"])
        assert one["factor"] != reseeded[number]["factor"]
        crop = first._samples[number]["known_sharp"]
        assert (one["dark"] - crop.float() / 2).abs().max() <= 0.5
    assert len({float(sample["factor"]) for sample in forwards}) == 8


def test_workers_process_as_the_training_process_does(folder: Path):
    sharp = Pairs({"known_sharp": files(folder, "D")}, crop_px=CROP_PX, seed=0)
    dataset = Processed(sharp, brightened, seed=3)
    for step, batch in enumerate(
        DataLoader(dataset, batch_size=2, sampler=range(6), num_workers=2)
    ):
        for place in range(2):
            assert torch.equal(batch["bright"][place], dataset[2 * step + place]["bright"])


@pytest.mark.parametrize("cache_gb", [0.0, 20e-6, 1.0])
@pytest.mark.parametrize("workers", [0, 2])
def test_neither_workers_nor_cache_change_a_sample(folder: Path, workers: int, cache_gb: float):
    dataset = unpaired(folder, cache_gb=cache_gb)
    loader = DataLoader(dataset, batch_size=3, sampler=range(12), num_workers=workers)
    plain = unpaired(folder)
    for step, batch in enumerate(loader):
        for place in range(3):
            sample = plain[3 * step + place]
            assert torch.equal(batch["unknown_blurry"][place], sample["unknown_blurry"])
            assert batch["unknown_sharp_file"][place] == sample["unknown_sharp_file"]


def test_the_cache_keeps_what_fits_and_no_more(folder: Path, monkeypatch: pytest.MonkeyPatch):
    paths = files(folder, "C")
    decoded = DecodedImages(paths, cache_gb=2 * 48 * 64 * 3 / 1e9)
    read: list[Path] = []
    original = images.read_rgb_uint8

    def counting(path: Path) -> np.ndarray:
        read.append(path)
        return original(path)

    monkeypatch.setattr(images, "read_rgb_uint8", counting)
    for index in range(5):
        assert np.array_equal(decoded[index], coded(20 + index, 48, 64))
    assert read == paths[2:]


def test_the_curriculum_begins_with_the_sharper_half_and_ends_with_all(tmp_path: Path):
    texture = np.random.default_rng(0).integers(0, 256, (40, 40, 3)).astype(np.uint8)
    blurry = [
        save(tmp_path / f"{name}.png", cv2.GaussianBlur(texture, (0, 0), sigma))
        for name, sigma in [("c", 1.5), ("a", 3.0), ("f", 0.5), ("b", 2.0), ("e", 0.8), ("d", 1.0)]
    ]
    dataset = UnpairedBlur(
        unknown_blurry=blurry, known={"unknown_sharp": blurry}, crop_px=CROP_PX, seed=0,
        samples_per_step=2, curriculum_steps=100,
    )  # fmt: skip

    def drawn(first_step: int, last_step: int) -> str:
        numbers = range(2 * first_step, 2 * last_step)
        names = {Path(dataset[number]["unknown_blurry_file"]).stem for number in numbers}
        return "".join(sorted(names))

    assert drawn(0, 100) == "def"  # the sharper half
    assert drawn(134, 149) == "cdef"
    assert drawn(200, 260) == "abcdef"
    # the known side has no curriculum
    assert len({dataset[number]["unknown_sharp_file"] for number in range(100)}) == 6


@pytest.mark.parametrize("ranks", [1, 2, 3])
def test_ranks_share_a_step_and_no_number_is_drawn_twice(ranks: int):
    samplers = [
        StepSampler(first_step=2, last_step=5, batch_size=4, rank=rank, ranks=ranks)
        for rank in range(ranks)
    ]
    numbers = [list(sampler) for sampler in samplers]
    assert [len(sampler) for sampler in samplers] == [12] * ranks
    for step in range(3):
        of_step = sorted(n for each in numbers for n in each[4 * step : 4 * step + 4])
        first = (2 + step) * 4 * ranks
        assert of_step == list(range(first, first + 4 * ranks))


def test_a_resumed_sampler_goes_on_where_it_stopped():
    def sampler(first: int, last: int) -> list[int]:
        return list(StepSampler(first_step=first, last_step=last, batch_size=3, rank=1, ranks=2))

    assert sampler(0, 3) + sampler(3, 7) == sampler(0, 7)


class TestMistakes:
    def test_no_photographs(self):
        with pytest.raises(DataError, match="no photographs for known_sharp"):
            Pairs({"known_sharp": []}, crop_px=CROP_PX, seed=0)

    def test_smaller_than_the_crop(self, folder: Path):
        with pytest.raises(DataError, match=r"C/0\.png is 64x48, smaller than the crop of 50 px;"):
            pairs(folder, crop_px=50)
        with pytest.raises(DataError, match=r"40 px and 5 px of margin on each side"):
            pairs(folder, crop_px=40, margin_px=5)
        with pytest.raises(DataError, match=r"64x48, smaller after data\.shrink = 2 than the crop"):
            pairs(folder, crop_px=30, shrink=(2, 2))

    def test_a_pair_of_two_sizes_also_where_shrinking_hides_it(self, folder: Path, tmp_path: Path):
        other = save(tmp_path / "0.png", coded(0, 48, 65))
        streams = {"known_blurry": files(folder, "C")[:1], "known_sharp": [other]}
        for shrink in ((1, 1), (2, 2), (1, 2)):
            with pytest.raises(DataError, match=r"is 64x48 but its partner .*0\.png is 65x48"):
                Pairs(streams, crop_px=CROP_PX, seed=0, shrink=shrink)

    def test_an_unreadable_file_is_found_at_once_where_it_is_decoded(self, tmp_path: Path):
        path = save(tmp_path / "a.png", coded(0, 40, 40))
        path.write_bytes(path.read_bytes()[:-100])
        with pytest.raises(InputError, match=r"a\.png cannot be read"):
            Pairs({"known_sharp": [path]}, crop_px=CROP_PX, seed=0, cache_gb=1.0)
        later = Pairs({"known_sharp": [path]}, crop_px=CROP_PX, seed=0)
        with pytest.raises(InputError, match=r"a\.png cannot be read"):
            later[0]
