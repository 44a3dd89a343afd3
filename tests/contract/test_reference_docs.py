"""docs/from-reference.md tells of every option what the code does with it.

After a change that is meant, write the tables anew:

    python tests/contract/test_reference_docs.py
"""

import re
from pathlib import Path

import pytest

from blur2blur import networks
from blur2blur.reference.options import GENERATORS, IDLE, OPTIONS, Option, Value

PAGE = Path(__file__).parents[2] / "docs" / "from-reference.md"
TABLES = ("published", "idle", "own")


def default(value: Value) -> str:
    if isinstance(value, bool):
        return "off"
    return f"`{value}`" if value not in ("", []) else ""


def here(option: Option) -> str:
    if option.way_out:
        return f"{option.here}; anything else is refused: {option.way_out}"
    return option.here


def table(kind: str) -> str:
    """Return the table of the published options, of those without effect, or of our own."""
    if kind == "idle":
        rows = ["| Options | Script | Why |", "|---|---|---|"]
        for idle in IDLE:
            names = ", ".join(f"`--{name}`" for name in idle.values)
            rows.append(f"| {names} | {', '.join(idle.scripts)} | {idle.why} |")
        return "\n".join(rows) + "\n"
    rows = ["| Option | Script | Default | Here |", "|---|---|---|---|"]
    for option in OPTIONS:
        if option.own == (kind == "own"):
            scripts = ", ".join(option.scripts)
            cells = [f"`--{option.name}`", scripts, default(option.default), here(option)]
            rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows) + "\n"


def marked(kind: str) -> re.Pattern[str]:
    return re.compile(rf"(<!-- options: {kind} -->\n\n)((?:\|.*\n)*)")


@pytest.mark.parametrize("kind", TABLES)
def test_no_option_is_undocumented(kind: str):
    (found,) = marked(kind).finditer(PAGE.read_text(encoding="utf-8"))
    assert found[2] == table(kind)


def test_every_generator_is_documented():
    page = PAGE.read_text(encoding="utf-8")
    for name, (network, _) in GENERATORS.items():
        assert network in networks.names()
        assert re.search(rf"^\| `{name}` \| `{network}`", page, re.MULTILINE)


if __name__ == "__main__":
    text = PAGE.read_text(encoding="utf-8")
    for kind in TABLES:
        text = marked(kind).sub(lambda found, kind=kind: found[1] + table(kind), text)
    PAGE.write_text(text, encoding="utf-8")
