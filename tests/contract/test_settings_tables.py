"""The table of settings in the documentation is what the settings say of themselves."""

import runpy
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_document_holds_what_the_generator_writes():
    """`python scripts/settings_tables.py` writes it anew."""
    script = runpy.run_path(str(ROOT / "scripts/settings_tables.py"))
    text = (ROOT / "docs/training.md").read_text(encoding="utf-8")
    assert script["page"](text) == text
