"""A short attack with a fixed seed; `make attack` and `.ci/run` go on for longer."""

import campaign
import pytest


@pytest.mark.parametrize(("kind", "minutes"), [("picture", 0.3), ("weights", 0.4), ("kill", 0.3)])
def test_nothing_is_uncaught_over_budget_or_lost(kind: str, minutes: float):
    tried, failed = campaign.run(minutes, 0, 0, kind)
    assert failed == []
    assert tried.total() > 0
