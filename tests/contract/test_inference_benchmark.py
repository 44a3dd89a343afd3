"""The benchmark of inference runs whole from its one command, at a size of seconds."""

import json

import pytest
import torch
from benchmarks.inference import cases, peaks, report, roofline, runner
from benchmarks.inference.cases import BASELINE, Case

from blur2blur import networks
from blur2blur.inference.exporting.chain import Chain

TINY_PEAKS = {"convolution_fp32_gflops": 1.0, "memory_gb_per_s": 1.0}


def _tiny(*_: str) -> list[networks.ImageNetwork]:
    return [networks.build("mimo_unet", base_channels=4, blocks=1, identity_start=False).eval()]


def test_one_command_makes_rows_and_goes_on(tmp_path, capfd, monkeypatch):
    monkeypatch.setattr(runner, "_peaks", lambda *_: TINY_PEAKS)
    words = ["--out", str(tmp_path), "--networks", "shipped", "--parts", "deblurrer"]
    words += ["--sizes", "64x48", "--repeats", "1", "--ways", BASELINE, "eager-fp32"]
    runner.main(words)
    rows = json.loads((tmp_path / "inference.json").read_text())["rows"]
    assert [row["way"] for row in rows] == [BASELINE, "eager-fp32"]
    for row in rows:
        assert row["seconds_min"] <= row["seconds_median"] <= row["seconds_max"]
        assert row["peak_rss_mb"] > 50
        assert row["flops"] > 1e6
        assert row["fraction_of_peak"] > 0
    assert rows[0]["speedup_vs_baseline"] == 1
    assert rows[1]["psnr_vs_float32_db"] > 60
    assert "| shipped | deblurrer | 64x48 | eager-fp32 |" in capfd.readouterr().out
    assert (tmp_path / "speedup.png").stat().st_size > 1000
    done = (tmp_path / "runs.jsonl").read_text()
    runner.main(words)
    assert (tmp_path / "runs.jsonl").read_text() == done


def test_a_baseline_without_enough_memory_is_told_not_run(tmp_path, monkeypatch):
    monkeypatch.setattr(runner, "_peaks", lambda *_: TINY_PEAKS)
    monkeypatch.setattr(runner, "_free_mb", lambda: 8192.0)

    def child(_: object, case: Case, **__: bool) -> dict[str, float]:
        assert case.pixels <= 512 * 512
        return {"seconds": 1.0, "peak_rss_mb": 500 + case.pixels / 250}

    monkeypatch.setattr(runner._Record, "_child", child)
    monkeypatch.setattr(cases, "build", _tiny)
    words = ["--out", str(tmp_path), "--networks", "mimo_unet", "--parts", "deblurrer"]
    runner.main([*words, "--sizes", "6000x4000", "--repeats", "1", "--ways", BASELINE])
    rows = json.loads((tmp_path / "inference.json").read_text())["rows"]
    assert rows[0]["skipped"] == "needs about 94 GiB"
    assert "needs about 94 GiB" in (tmp_path / "inference.md").read_text()


def test_rows_compare_with_the_baseline_of_the_same_case() -> None:
    base, quick = (Case("nafnet", "both", "64x64", way) for way in (BASELINE, "openvino-bf16"))
    runs = {
        base: [{"seconds": seconds, "peak_rss_mb": 10.0} for seconds in (8.0, 9.0, 7.0)],
        quick: [{"seconds": 2.0, "peak_rss_mb": 5.0, "psnr_vs_float32_db": 60.0}],
    }
    peak = {"convolution_bf16_gflops": 2.0}
    rows = report.rows_of(runs, {}, {base: 10**9, quick: 10**9}, peak)
    assert [row["way"] for row in rows] == [BASELINE, "openvino-bf16"]
    assert (rows[0]["seconds_median"], rows[0]["seconds_max"]) == (8.0, 9.0)
    assert rows[1]["speedup_vs_baseline"] == 4.0
    assert rows[1]["fraction_of_peak"] == pytest.approx(0.25)
    assert rows[1]["megapixels_per_s"] == pytest.approx(64 * 64 / 2e6)


def test_operations_are_counted_as_by_hand() -> None:
    chain = Chain([torch.nn.Conv2d(3, 3, 3, padding=1), torch.nn.Conv2d(3, 3, 1)])
    assert cases.count_flops(chain, 10, 12) == 2 * 10 * 12 * 9 * (9 + 1)


def test_the_roofline_holds_every_operation_and_all_the_time(monkeypatch) -> None:
    monkeypatch.setattr(roofline, "build", _tiny)
    rows = {row["what"]: row for row in roofline.measure("mimo_unet", "fp32", 32, TINY_PEAKS, 1)}
    total = rows["torch, sum"]
    parts = [row for what, row in rows.items() if what.startswith("torch ")]
    assert sum(row["seconds"] for row in parts) == pytest.approx(total["seconds"])
    convolutions = sum(row["gflop"] for row in parts)
    # beside the layers the fusions convolve: 1x1, of 4 + 8 + 16 channels to 4 and to 8
    assert 0.8 < convolutions / (cases.count_flops(Chain(_tiny()), 32, 32) / 1e9) < 1
    assert rows["openvino, sum"]["seconds"] > 0


def test_peaks_are_measured(monkeypatch) -> None:
    monkeypatch.setattr(peaks, "CONVOLUTIONS", ((4, 8),))
    monkeypatch.setattr(peaks, "MATRICES", (8,))
    monkeypatch.setattr(peaks, "COPIED_BYTES", 4096)
    found = peaks.measure(("fp32",), torch.device("cpu"), 0.0)
    assert found["convolution_fp32_gflops"] == found["conv3x3_4x8_fp32_gflops"] > 0
    assert found["memory_gb_per_s"] > 0
