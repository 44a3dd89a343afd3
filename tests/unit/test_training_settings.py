"""Settings of trainings: what each reads, what it refuses, and what older versions wrote."""

import json

import pytest

from blur2blur import settings
from blur2blur.errors import ConfigError
from blur2blur.training.settings import (
    AdversarialConverterSettings,
    ConverterSettings,
    DeblurrerSettings,
    ExtentSettings,
    KernelSettings,
    SimulatedConverterSettings,
    TaskSettings,
    settings_of_run,
)

# as version 0.1.0 wrote them before a converter had a method
OLD_CONVERTER = {
    "task": "converter",
    "init": "",
    "deblurrer": "known-blur",
    "network": {"name": "mimo_unet", "options": {"base_channels": 16, "blocks": 4}},
    "discriminator": {"judge": "both", "scales": 3, "init": "", "updates_per_step": 1},
    "data": {"crop_px": 96, "batch_size": 8, "workers": 0, "shrink": 2, "curriculum_steps": 0},
    "known": {"source": "synthetic", "camera": "known", "overrides": [], "extractor": ""},
    "loss": {"adversarial": "hinge", "content": "pyramid"},
    "rehearsal": {"cameras": ["any"], "converted": 0.5, "deblurred": 1.0, "draws": 1,
                  "candidates": 16},
    "optimiser": {"learning_rate": 7e-4, "beta1": 0.9},
    "run": {"steps": 2600, "seed": 0},
}  # fmt: skip
OLD_DEBLURRER = {
    "task": "deblurrer",
    "converter": "",
    "network": {"name": "residual_unet", "options": {}},
    "rehearsal": {"cameras": [], "compared": 0},
}


def refusal(model: type[TaskSettings], preset: str, *overrides: str) -> str:
    with pytest.raises(ConfigError) as caught:
        settings.load(model, preset, overrides)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("preset", "override", "words"),
    [
        ("converter", "loss.content=vgg19", ["'simulated' does not read 'loss.content'"]),
        ("converter", "discriminator.kind=energy", ["'discriminator.kind'", "converter-pairs"]),
        ("converter", "data.curriculum_steps=3", ["'data.curriculum_steps'"]),
        ("converter", "method=adversarial", ["'adversarial' does not read 'simulated."]),
        ("converter-pairs", "simulated.deblurred=1", ["'simulated.deblurred'", "as converter"]),
        ("reference", "simulated.deblurred=1", ["'simulated.deblurred'"]),
        ("converter", "method=both", ["method = 'both'", "'simulated' or 'adversarial'"]),
        ("converter", "simulated.compare=8", ["did you mean 'simulated.compared'?"]),
        ("converter", "simulated={converted=0, deblurred=0}", ["nothing is learned"]),
        ("converter", "known.source=pairs", ["leaves nothing to simulate", "converter-pairs"]),
        ("converter", "known.extractor=x", ["known.extractor is not read", "source=transfer"]),
    ],
)
def test_a_converter_refuses_what_its_method_does_not_read(preset, override, words):
    message = refusal(ConverterSettings, preset, override)
    assert all(word in message for word in words), message


@pytest.mark.parametrize(
    ("model", "preset", "override", "words"),
    [
        (DeblurrerSettings, "deblurrer", "network.options.block=3", ["did you mean 'blocks'?"]),
        (DeblurrerSettings, "deblurrer", "network.name=mimo", ["did you mean 'mimo_unet'?"]),
        (DeblurrerSettings, "deblurrer", "network={name='kernel_wizard'}", ["makes no image"]),
        (DeblurrerSettings, "deblurrer", "network.options.blocks=-1", ["blocks = -1"]),
        (DeblurrerSettings, "deblurrer", "converter=none", ["as the preset finish does"]),
        (DeblurrerSettings, "deblurrer", "known={source='pairs', overrides=['still=0']}",
         ["known.overrides is not read"]),
        (KernelSettings, "kernel", "network={name='unet'}", ["'unet' reads no blur"]),
        (KernelSettings, "kernel", "known.extractor=x", ["known.extractor is not read"]),
        (ExtentSettings, "blur-extent", "network={name='unet'}", ["'unet' reads no extent"]),
        (ExtentSettings, "blur-extent", "simulated.camera=3", ["'simulated.cameras'?"]),
        (ExtentSettings, "blur-extent", "known.camera=x", ["unknown setting 'known'"]),
    ],
)  # fmt: skip
def test_other_trainings_refuse_what_they_do_not_read(model, preset, override, words):
    message = refusal(model, preset, override)
    assert all(word in message for word in words), message


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ({}, AdversarialConverterSettings),
        ({"known": {"source": "pairs"}}, AdversarialConverterSettings),
        ({"simulated": {"converted": 1}}, SimulatedConverterSettings),
        ({"method": "simulated"}, SimulatedConverterSettings),
        ({"method": "adversarial", "loss": {"content": "none"}}, AdversarialConverterSettings),
    ],
)
def test_the_method_of_a_converter(values, kind):
    assert type(settings.build(ConverterSettings, values, source="test")) is kind


def test_presets_and_overrides_of_older_words_are_read():
    overrides = ["rehearsal.converted=0.25", "rehearsal.candidates=16"]
    loaded = settings.load(ConverterSettings, "converter", overrides)
    assert isinstance(loaded, SimulatedConverterSettings)
    assert loaded.simulated.converted == 0.25
    loaded = settings.load(ConverterSettings, "converter-pairs", ["discriminator.judge=energy"])
    assert isinstance(loaded, AdversarialConverterSettings)
    assert loaded.discriminator.kind == "energy"
    finished = settings.load(DeblurrerSettings, "finish", ["rehearsal.compared=8"])
    assert finished.simulated is not None
    assert finished.simulated.compared == 8
    settings.load(ExtentSettings, "blur-extent", ["simulated.compared=0"])


def test_a_converter_of_an_older_version_is_the_same_run():
    now = settings.load(
        ConverterSettings, "generic",
        ["init=", "network.options={base_channels=16, blocks=4}", "known.overrides=[]",
         "simulated.cameras=['any']",
         "optimiser={learning_rate=7e-4, beta1=0.9}", "run={steps=2600}",
         "data={crop_px=96, workers=0, shrink=2}"],
    )  # fmt: skip
    assert settings_of_run(OLD_CONVERTER, now) == now.model_dump(mode="json")
    assert json.dumps(OLD_CONVERTER)  # and left as it was
    assert "rehearsal" in OLD_CONVERTER
    other = now.model_copy(update={"init": "generic"})
    assert settings_of_run(OLD_CONVERTER, other)["init"] == ""


def test_an_adversarial_converter_of_an_older_version_is_the_same_run():
    values = {**OLD_CONVERTER, "rehearsal": {"cameras": ["any"], "converted": 0, "deblurred": 0}}
    now = settings.load(ConverterSettings, "converter-pairs")
    told = settings_of_run(values, now)
    assert told["method"] == "adversarial"
    assert told["discriminator"]["kind"] == "both"
    assert "simulated" not in told


def test_a_run_of_another_method_or_task_is_told_as_it_is():
    now = settings.load(ConverterSettings, "converter-pairs")
    assert settings_of_run(OLD_CONVERTER, now)["method"] == "simulated"
    assert settings_of_run(OLD_DEBLURRER, now)["task"] == "deblurrer"


def test_a_deblurrer_of_an_older_version_has_no_simulated_cameras():
    now = settings.load(DeblurrerSettings, "deblurrer")
    assert settings_of_run(OLD_DEBLURRER, now)["simulated"] is None
