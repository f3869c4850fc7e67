"""Datetimes as keys: one moment is one key, and the hours in which a clock is set are none."""

from __future__ import annotations

import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grid.errors import SerializationError
from grid.wire.keys import decode_key, encode_key

from .samples import THOROUGH

ROOM = 100
UTC = datetime.UTC
HOUR = datetime.timedelta(hours=1)
SUMMER_BEGINS = datetime.datetime(2024, 3, 31, 2)  # noqa: DTZ001 - as clocks on a wall say it.
SUMMER_ENDS = datetime.datetime(2024, 10, 27, 2)  # noqa: DTZ001


class Zone(datetime.tzinfo):
    """What Python asks of a zone besides its offset."""

    def tzname(self, moment: datetime.datetime | None) -> str:
        return type(self).__name__

    def dst(self, moment: datetime.datetime | None) -> None:
        return None


class Madrid(Zone):
    """As in 2024; its own, because not every machine has the database of zones."""

    def utcoffset(self, moment: datetime.datetime | None) -> datetime.timedelta:
        assert moment is not None
        wall = moment.replace(tzinfo=None)
        # Fold 0 counts on with the old offset until the new time has passed the old one.
        lag = HOUR * (1 - moment.fold)
        return HOUR * 2 if SUMMER_BEGINS + lag <= wall < SUMMER_ENDS + lag else HOUR


class Nowhere(Zone):
    """A zone that does not know its offset: Python takes the datetime for a naive one."""

    def utcoffset(self, moment: datetime.datetime | None) -> None:
        return None


MADRID = Madrid()
NOON = datetime.datetime(2024, 7, 1, 12, tzinfo=UTC)


def test_one_moment_in_different_zones_is_one_key():
    west = datetime.timezone(-datetime.timedelta(hours=5))
    moments = [
        NOON,
        datetime.datetime(2024, 7, 1, 14, tzinfo=MADRID),
        datetime.datetime(2024, 7, 1, 7, tzinfo=west),
    ]
    assert len(set(moments)) == 1, "the table of this test"
    assert len({encode_key(moment, ROOM) for moment in moments}) == 1


def test_an_aware_datetime_comes_back_in_utc():
    result = decode_key(encode_key(datetime.datetime(2024, 7, 1, 14, tzinfo=MADRID), ROOM)[1])
    assert result == NOON
    assert result.tzinfo is UTC


@pytest.mark.parametrize("zone", [None, Nowhere()], ids=["none", "unknown offset"])
def test_a_datetime_without_a_zone_stays_without_and_is_another_key(zone: datetime.tzinfo | None):
    naive = NOON.replace(tzinfo=zone)
    result = decode_key(encode_key(naive, ROOM)[1])
    assert result == naive
    assert result.tzinfo is None
    assert encode_key(naive, ROOM) != encode_key(NOON, ROOM)


@pytest.mark.parametrize("fold", [0, 1])
@pytest.mark.parametrize("set_at", [SUMMER_BEGINS, SUMMER_ENDS], ids=["forward", "back"])
def test_a_local_time_at_which_the_clock_is_set_is_refused(set_at: datetime.datetime, fold: int):
    half_past = (set_at + HOUR / 2).replace(tzinfo=MADRID, fold=fold)
    with pytest.raises(SerializationError, match=r"give it in UTC.*the key datetime\.datetime"):
        encode_key(half_past, ROOM)
    assert decode_key(encode_key(half_past.astimezone(UTC), ROOM)[1]) == half_past.astimezone(UTC)


def test_a_datetime_that_utc_cannot_say_is_refused():
    east = datetime.timezone(HOUR)
    with pytest.raises(SerializationError, match="year in UTC is not in 1 to 9999"):
        encode_key(datetime.datetime(1, 1, 1, tzinfo=east), ROOM)


ZONES = st.sampled_from([UTC, MADRID, datetime.timezone(HOUR), datetime.timezone(-HOUR / 3600)])
HALF_HOURS = st.integers(0, 96).map(
    lambda halves: SUMMER_ENDS - datetime.timedelta(days=1) + halves * HOUR / 2
)
MOMENTS = st.builds(
    lambda wall, zone, fold: wall.replace(tzinfo=zone, fold=fold),
    HALF_HOURS,
    ZONES,
    st.integers(0, 1),
)


@given(MOMENTS, MOMENTS)
@THOROUGH
def test_around_a_change_of_clock_keys_are_equal_exactly_when_the_datetimes_are(
    left: datetime.datetime, right: datetime.datetime
):
    try:
        keys = {encode_key(left, ROOM), encode_key(right, ROOM)}
    except SerializationError:
        return
    assert (left == right) == (len(keys) == 1)
    assert (left.astimezone(UTC) == right.astimezone(UTC)) == (len(keys) == 1)
