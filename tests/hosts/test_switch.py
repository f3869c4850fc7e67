"""What the switch loses, as rules: every fault is in them, and they replace what was there."""

from __future__ import annotations

from grid.hosts.switch import Faults, replacing


def lines_of(faults: Faults) -> list[str]:
    return [line for line in faults.rules().splitlines() if line.endswith("drop")]


def test_without_faults_everything_passes():
    assert lines_of(Faults()) == []


def test_a_split_cuts_each_pair_of_groups_both_ways():
    faults = Faults()
    faults.split = [frozenset({"a"}), frozenset({"b", "c"})]
    assert lines_of(faults) == [
        'iifname { "a" } oifname { "b", "c" } drop',
        'iifname { "b", "c" } oifname { "a" } drop',
    ]


def test_loss_of_everything_needs_no_chance():
    faults = Faults()
    faults.loss = {"a": (1.0, "udp"), "b": (0.25, "any")}
    assert [line.split() for line in lines_of(faults)] == [
        ["oifname", '"a"', "meta", "l4proto", "udp", "drop"],
        [
            "oifname",
            '"b"',
            "ether",
            "type",
            "ip",
            "numgen",
            "random",
            "mod",
            "1000000",
            "<",
            "250000",
            "drop",
        ],
    ]


def test_rules_replace_the_table_in_one_step():
    assert replacing("inet", "chain c {}").splitlines()[:3] == [
        "table inet faults",
        "delete table inet faults",
        "table inet faults {",
    ]
