"""The status document, as it comes from a node of this version, an older or a newer one."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest

from grid.console.document import decode
from grid.errors import ProtocolError

from .samples import member, partition_map, status, status_dict


def test_json_and_dict_decode_alike() -> None:
    """The supervisor has the dict, the command line the bytes."""
    source = status_dict(3)
    assert decode(json.dumps(source).encode()) == decode(source)


def test_unknown_keys_are_ignored() -> None:
    """An older console watches a newer node."""
    source = status_dict(1, members=[member(1, rss_bytes=1)], term=7)
    assert decode(source) == status(1)


def test_whole_cpu_percent_is_accepted() -> None:
    """JSON does not keep 40.0 and 40 apart."""
    assert status(1, members=[member(1, cpu_percent=40)]).members[0].cpu_percent == 40.0


@pytest.mark.parametrize(
    ("source", "named"),
    [
        ({"cluster": "library"}, "members"),
        (status_dict(1, members=[member(1, state="tired")]), "state"),
        (b"{", "truncated"),
        (b'{"cluster": "\xff"}', "utf-8"),
    ],
)
def test_malformed_status_is_refused_naming_the_fault(
    source: bytes | dict[str, object], named: str
) -> None:
    """Input from outside raises, and says what was wrong."""
    with pytest.raises(ProtocolError, match=named):
        decode(source)


def test_members_are_sorted_by_name_with_numbers_as_numbers() -> None:
    """Twelve members read n1 .. n12."""
    shuffled = [member(number) for number in (10, 2, 12, 1)]
    names = [entry.name for entry in status(4, members=shuffled).members_by_name()]
    assert names == ["n1", "n2", "n10", "n12"]


def test_names_without_numbers_sort_beside_names_that_are_numbers() -> None:
    """No pair of names may be incomparable."""
    named = [member(number, name=name) for number, name in enumerate(["b", "7", "", "a1", "²"])]
    names = [entry.name for entry in status(5, members=named).members_by_name()]
    assert sorted(names) == sorted(["b", "7", "", "a1", "²"])
    assert names.index("a1") < names.index("b")


NEWER = ("node", "partition_map", "workers")
NEWER_OF_MEMBERS = ("workers", "age_s", "state_s", "memory_percent", "operations_per_s")


def test_status_of_an_older_node_is_shown_without_what_it_does_not_tell() -> None:
    """Watching a cluster that is updated machine by machine."""
    source = status_dict(2)
    for key in NEWER:
        del source[key]
    for entry in source["members"]:
        del entry["tasks"]["retried"]
        for key in NEWER_OF_MEMBERS:
            del entry[key]
    shown = decode(source)
    assert (shown.node, shown.partition_map, shown.workers) == ("", None, ())
    assert shown.tasks().retried == shown.members[0].operations_per_s == 0


def test_partition_is_to_a_node_what_is_most_urgent_of_it() -> None:
    """What is lost is nobody's, and what moves is worth more notice than where it is."""
    known = status(2, partition_map=partition_map(2, unprotected=3, lost=2, moving=4)).partition_map
    assert known is not None
    kinds = known.kinds_for(member(1)["id"])
    assert kinds[:11] == ["lost"] * 2 + ["unprotected"] * 3 + ["moving"] * 4 + ["backup", "primary"]
    assert Counter(known.kinds_for("a stranger"))["other"] == 256 - 9


@pytest.mark.parametrize(
    "wrong", [{"primaries": [0]}, {"backups": [2] * 256}, {"incoming": [-2] * 256}, {"states": "s"}]
)
def test_map_that_does_not_fit_together_is_refused(wrong: dict[str, Any]) -> None:
    """An index out of range would else be an error somewhere in the picture."""
    with pytest.raises(ProtocolError, match="partition map"):
        decode(status_dict(2, partition_map=partition_map(2) | wrong))


def test_member_is_named_by_its_boot_id_if_it_is_known() -> None:
    """A table may name who has been forgotten."""
    assert status(2).name_of(member(2)["id"]) == "n2"
    assert status(2).name_of("abcdef0123456789") == "abcdef01"
