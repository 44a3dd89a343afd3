"""Presets, overrides, and what is said of names and values that do not fit."""

from pathlib import Path
from typing import Literal

import pytest
from pydantic import Field, model_validator

from blur2blur import settings
from blur2blur.errors import ConfigError
from blur2blur.settings import Settings


class Inner(Settings):
    rate: float = Field(default=0.5, gt=0)
    kind: Literal["hinge", "logistic"] = "hinge"


class Outer(Settings):
    former_names = {"core.count": "", "core": "inner", "inner.speed": "inner.rate"}  # noqa: RUF012

    name: str = "a"
    count: int = 1
    inner: Inner = Inner()
    sizes: list[int] = []  # noqa: RUF012 pydantic copies it
    free: dict[str, int | str] = {}  # noqa: RUF012

    @model_validator(mode="after")
    def _check(self) -> "Outer":
        if self.count > len(self.name) + 100:
            raise ValueError("count and name do not fit together")
        return self


def build(*overrides: str) -> Outer:
    return settings.build(Outer, settings.apply_overrides({}, overrides), source="here")


def refusal(*overrides: str) -> str:
    with pytest.raises(ConfigError) as caught:
        build(*overrides)
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize(
    ("override", "field", "value"),
    [
        ("count=3", "count", 3),
        ("name=b", "name", "b"),
        ('name="3"', "name", "3"),
        ("name=a=b", "name", "a=b"),
        ("name=", "name", ""),
        ("inner.rate=1e-4", "inner", Inner(rate=1e-4)),
        ("inner={kind='logistic'}", "inner", Inner(kind="logistic")),
        ("sizes=[1, 2]", "sizes", [1, 2]),
        ("free.width=4", "free", {"width": 4}),
        ("free={width=4, norm='none'}", "free", {"width": 4, "norm": "none"}),
    ],
)
def test_values_are_toml_else_text(override: str, field: str, value: object):
    assert getattr(build(override), field) == value


def test_the_last_override_wins_and_neighbours_stay():
    values = {"inner": {"rate": 0.1, "kind": "logistic"}}
    changed = settings.apply_overrides(values, ["inner.rate=0.2", "inner.rate=0.3"])
    assert changed == {"inner": {"rate": 0.3, "kind": "logistic"}}
    assert values == {"inner": {"rate": 0.1, "kind": "logistic"}}


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("count", ["'count'", "key=value"]),
        ("=3", ["'=3'", "key=value"]),
        ("cuont=3", ["here: unknown setting 'cuont'", "did you mean 'count'?"]),
        ("inner.rat=3", ["unknown setting 'inner.rat'", "did you mean 'inner.rate'?"]),
        ("inner.xyzzy=3", ["known: inner.kind, inner.rate"]),
        ("name.first=3", ["here: name = {'first': 3}"]),
        ("count=many", ["here: count = 'many'", "valid integer"]),
        ("count=1.5", ["count = 1.5"]),
        ("inner.rate=0", ["inner.rate = 0", "greater than 0"]),
        ("inner.kind=hing", ["inner.kind = 'hing'", "'hinge' or 'logistic'"]),
        ("inner=3", ["inner = 3"]),
        ("sizes=[1, 'x']", ["sizes.1 = 'x'"]),
        ("count=200", ["here: count and name do not fit together"]),
    ],
)
def test_what_does_not_fit_is_named_with_the_way_out(override: str, words: list[str]):
    message = refusal(override)
    assert all(word in message for word in words), message


def test_a_value_is_no_section():
    with pytest.raises(ConfigError, match=r"'name\.first': 'name' is a value, not a section"):
        settings.apply_overrides({"name": "a"}, ["name.first=3"])


def test_settings_cannot_be_changed_afterwards():
    with pytest.raises(ValueError, match="frozen"):
        build().count = 5


def test_a_missing_value_is_named():
    class Needed(Settings):
        step: int

    with pytest.raises(ConfigError, match="here: 'step' is missing"):
        settings.build(Needed, {}, source="here")


@pytest.mark.parametrize(
    ("name", "known", "hint"),
    [
        ("phnoe", ["night", "phone"], "; did you mean 'phone'?"),
        ("zzz", ["night", "phone"], "; known: night, phone"),
    ],
)
def test_nearest(name: str, known: list[str], hint: str):
    assert settings.nearest(name, known) == hint


def test_every_preset_that_ships_is_read_by_its_name():
    assert {"converter", "deblurrer"} <= set(settings.preset_names())
    assert {"known", "phone"} <= set(settings.preset_names("cameras"))
    for folder in ("", "cameras"):
        for name in settings.preset_names(folder):
            assert settings.read_preset(name, folder)


def test_a_file_is_read_by_its_path(tmp_path: Path):
    path = tmp_path / "mine.toml"
    path.write_text('name = "ö"\n[inner]\nrate = 2.0\n', encoding="utf-8")
    loaded = settings.load(Outer, str(path), ["inner.kind=logistic"])
    assert loaded == Outer(name="ö", inner=Inner(rate=2.0, kind="logistic"))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"name = \n", "not valid TOML"),
        (b"name = 1\nname = 2\n", "not valid TOML"),
        (b"name = '\xff'\n", "not valid TOML"),
        (b"count = 1979-05-27\n", "count = datetime.date"),  # TOML has dates, settings have none
    ],
)
def test_a_broken_file_is_named(tmp_path: Path, content: bytes, words: str):
    path = tmp_path / "mine.toml"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"mine\.toml") as caught:
        settings.load(Outer, str(path))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.fixture
def _untold():
    settings._tell_renamed.cache_clear()


@pytest.mark.usefixtures("_untold")
@pytest.mark.parametrize(
    ("content", "overrides", "inner"),
    [
        ("[core]\nkind = 'logistic'\ncount = 3\n", [], Inner(kind="logistic")),
        ("[core]\nrate = 2.0\n", ["inner.rate=3"], Inner(rate=3)),
        ("[inner]\nrate = 2.0\n", ["core.rate=3", "core.count=2"], Inner(rate=3)),
        ("[inner]\nspeed = 2.0\n", [], Inner(rate=2)),
        ("", ["inner.speed=2"], Inner(rate=2)),
    ],
)
def test_former_names_are_read_and_told_once(tmp_path, caplog, content, overrides, inner):
    path = tmp_path / "old.toml"
    path.write_text(content)
    for _ in range(2):
        assert settings.load(Outer, str(path), overrides).inner == inner
    messages = [record.getMessage() for record in caplog.records]
    assert messages
    assert len(messages) == len(set(messages))
    assert all("is called 'inner" in message or "is gone" in message for message in messages)


def test_names_are_those_that_set_takes():
    expected = {"name", "count", "inner.rate", "inner.kind", "sizes", "free"}
    assert settings.dotted_names(Outer) == expected


def test_a_preset_that_is_not_there(tmp_path: Path):
    with pytest.raises(ConfigError, match=r"no settings file .*none\.toml"):
        settings.read_preset(str(tmp_path / "none.toml"))
    with pytest.raises(ConfigError, match=r"'convertr'; did you mean 'converter'\?"):
        settings.read_preset("convertr")
    with pytest.raises(ConfigError, match=r"'nihgt'; did you mean 'night'\?"):
        settings.read_preset("nihgt", "cameras")
