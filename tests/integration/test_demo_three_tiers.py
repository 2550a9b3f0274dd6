"""The demo of the tiers runs as a person would run it, and says what its fresh reads found."""

from __future__ import annotations

import re

from tests.fix_children import Children


def test_demo_three_tiers_prints_what_each_tier_left_behind(children: Children) -> None:
    demo = children.run("demo_three_tiers.py", env={"COLUMNS": "200"})
    assert demo.wait() == 0, demo.output
    found = re.findall(r"(before|after): the order is (\w+) at version (\d), and there are (\d) trades", demo.output)
    assert found == [
        ("before", "PENDING", "1", "0"),
        ("after", "FILLED", "2", "1"),
        ("after", "PENDING", "1", "1"),
        ("after", "PENDING", "1", "1"),
        ("after", "CANCELLED", "2", "1"),
        ("after", "SETTLED", "4", "1"),
    ]
    assert "SettlementRefused: 5000 shares of MSFT" in demo.output
    assert "the workflow ended with SUCCESS: receipt for" in demo.output
    assert "its trail: CREATED PENDING, STATE_CHANGE FILLED, STATE_CHANGE SENT, STATE_CHANGE SETTLED" in demo.output
    assert "ConnectionError: the risk system does not answer" in demo.output
