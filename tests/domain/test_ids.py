"""Ids are derived from what they name alone."""

from hypothesis import assume, given
from hypothesis import strategies as st

from domain.ids import (
    event_id,
    order_id,
    order_of_payment,
    payment_workflow_id,
    refund_of,
    refund_workflow_id,
    team_id,
    team_of,
    team_workflow_id,
)

identifiers = st.from_regex(r"\A[A-Za-z0-9][A-Za-z0-9._:@-]{0,15}\Z")
pairs = st.tuples(identifiers, identifiers)


@given(pairs)
def test_a_repeat_gets_the_same_id(pair: tuple[str, str]) -> None:
    assert team_id(*pair) == team_id(*pair)
    assert order_id(*pair) == order_id(*pair)
    assert event_id(*pair) == event_id(*pair)


@given(pairs, pairs)
def test_different_names_get_different_ids(one: tuple[str, str], other: tuple[str, str]) -> None:
    assume(one != other)

    assert team_id(*one) != team_id(*other)
    assert order_id(*one) != order_id(*other)
    assert event_id(*one) != event_id(*other)


def test_the_border_between_two_names_matters() -> None:
    assert team_id("a", "bc") != team_id("ab", "c")
    assert order_id("a", "bc") != order_id("ab", "c")
    assert event_id("order.refunded", "x", 11) != event_id("order.refunded", "x1", 1)


@given(pairs)
def test_a_team_its_order_and_an_event_never_share_an_id(pair: tuple[str, str]) -> None:
    assert len({team_id(*pair), order_id(*pair), event_id(*pair), event_id(*pair, attempt=2)}) == 4


@given(pairs)
def test_an_id_carries_at_least_100_bits(pair: tuple[str, str]) -> None:
    for derived in (team_id(*pair), order_id(*pair), event_id(*pair).removeprefix("evt_")):
        assert len(derived) * 5 >= 100
        assert set(derived) <= set("abcdefghijklmnopqrstuvwxyz234567")


def test_ids_never_change() -> None:
    """Databases and workflow ids hold them: another derivation would lose every order."""
    assert team_id("s01", "n1") == "7wiy3pcmz4guieenzbl4nbsk7a"
    assert order_id("s01", "n1") == "kffv7bnjmmzl3vjtgvjjjjbz7b"
    assert event_id("team.completed", "t1") == "evt_f5cdwhdkluiuyooyrvloup4ome"
    assert team_workflow_id("t1") == "team-t1"


@given(pairs)
def test_workflow_ids_say_what_they_are_of(pair: tuple[str, str]) -> None:
    team, order = team_id(*pair), order_id(*pair)
    of_team, of_refund, of_payment = team_workflow_id(team), refund_workflow_id(order, 12), payment_workflow_id(order)
    assert [team_of(each) for each in (of_team, of_refund, of_payment)] == [team, None, None]
    assert [refund_of(each) for each in (of_team, of_refund, of_payment)] == [None, (order, 12), None]
    assert [order_of_payment(each) for each in (of_team, of_refund, of_payment)] == [None, None, order]
    assert refund_of("refund-by-hand") is None
