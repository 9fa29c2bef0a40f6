"""What a team's workflow knows of its rows, without Temporal: whatever answers arrive, in whatever order."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from domain.lifecycle import OrderStatus, TeamStatus
from domain.messages.teams import SeatRow, TeamAnswer, TeamRow
from workflows.client import data_converter
from workflows.team.state import TeamInput, TeamState

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
DEADLINE = NOW + timedelta(days=1)
KEPT = NOW + timedelta(minutes=15)


def team(version: int, status: TeamStatus = TeamStatus.FORMING, **fields: datetime) -> TeamRow:
    return TeamRow.model_validate({"status": status, "version": version, "deadline": DEADLINE} | fields)


def seat(number: str, status: OrderStatus | None = OrderStatus.LOCKED) -> SeatRow:
    live = status in {OrderStatus.LOCKED, OrderStatus.PAID}
    keep_until = KEPT if status is OrderStatus.LOCKED else None
    return SeatRow(out_trade_no=number, user_id=f"user {number}", status=status, live=live, keep_until=keep_until)


def answer(version: int, *seats: SeatRow, status: TeamStatus = TeamStatus.FORMING, decides_team: bool = False) -> TeamAnswer:
    return TeamAnswer(team=team(version, status), seats=list(seats), decides_team=decides_team)


def statuses(state: TeamState) -> dict[str, OrderStatus]:
    return {number: seat.status for number, seat in state.live_seats.items()}


def test_nothing_is_due_before_there_is_a_seat() -> None:
    state = TeamState()
    assert (state.has_seat, state.is_forming, state.overdue(DEADLINE), state.is_decidable(DEADLINE)) == (False, True, [], False)
    assert state.next_due(NOW).moment == NOW


def test_the_earliest_unpaid_seat_or_the_deadline_is_due_next() -> None:
    state = TeamState()
    state.apply(answer(1, seat("a")))
    assert state.next_due(NOW) == (KEPT, "payment of a")
    assert (state.overdue(KEPT - timedelta(seconds=1)), state.overdue(KEPT)) == ([], ["a"])
    assert not state.is_decidable(DEADLINE)  # the unpaid seat comes first
    state.apply(answer(2, seat("a", OrderStatus.PAID)))
    assert state.next_due(NOW) == (DEADLINE, "deadline of the team")
    assert (state.is_decidable(DEADLINE - timedelta(seconds=1)), state.is_decidable(DEADLINE)) == (False, True)
    assert (state.paid_count, state.must_read_rows) == (1, False)


def test_what_the_rows_say_of_an_overdue_seat_is_taken_over() -> None:
    for status in (OrderStatus.PAID, OrderStatus.CANCELLED, OrderStatus.REFUNDING, None):
        state = TeamState()
        state.apply(answer(1, seat("a"), seat("b")))
        state.apply(answer(3, seat("a", status)))
        assert state.overdue(KEPT) == ["b"]
        assert ("a" in state.live_seats) == (status is OrderStatus.PAID)


def test_a_completed_team_is_over_when_its_refund_window_is() -> None:
    state = TeamState()
    state.apply(answer(1, seat("a")))
    until = NOW + timedelta(days=7)
    state.apply(TeamAnswer(team=team(2, TeamStatus.COMPLETED, refund_until=until), decides_team=True))
    assert (state.is_forming, state.must_read_rows) == (False, False)
    assert (state.is_window_over(until - timedelta(seconds=1)), state.is_window_over(until)) == (False, True)


def test_a_status_that_this_workflow_did_not_cause_makes_it_read_the_rows() -> None:
    state = TeamState()
    state.apply(answer(1, seat("a")))
    state.apply(answer(5, seat("b"), status=TeamStatus.COMPLETED))
    assert state.must_read_rows


def test_a_repeated_answer_makes_it_read_the_rows() -> None:
    state = TeamState()
    state.apply(TeamAnswer(team=team(1), seats=[seat("a")], repeated=True))
    assert state.must_read_rows


def test_a_version_that_no_answer_had_is_noticed_until_its_answer_comes() -> None:
    state = TeamState()
    state.apply(answer(1, seat("a")))
    state.apply(answer(3, seat("c")), is_last=False)
    assert (state.unseen_versions, state.must_read_rows) == ({2}, False)
    state.apply(answer(2, seat("b")), is_last=False)
    assert (state.unseen_versions, state.must_read_rows) == (set(), False)
    state.apply(answer(5, seat("d")))
    assert (state.unseen_versions, state.must_read_rows) == ({4}, True)
    assert state.replace(answer(6, seat("a")), state.version)
    assert state.unseen_versions == set()


def test_an_answer_that_is_older_than_the_rows_that_were_read_is_dropped() -> None:
    state = TeamState()
    state.apply(answer(1, seat("a")))
    assert state.replace(answer(4, seat("b", OrderStatus.PAID)), state.version)
    state.apply(answer(3, seat("a")))
    assert statuses(state) == {"b": OrderStatus.PAID}
    assert state.version == 4


def test_rows_that_are_older_than_an_answer_are_not_taken_over() -> None:
    state = TeamState()
    state.apply(answer(5, seat("a")))
    assert not state.replace(answer(4), known_before=4)
    assert statuses(state) == {"a": OrderStatus.LOCKED}


def test_rows_that_were_restored_from_a_backup_hold() -> None:
    state = TeamState()
    state.apply(answer(5, seat("a")), is_last=False)
    state.apply(answer(3, seat("a", None)))
    assert state.must_read_rows
    assert state.replace(answer(3), known_before=5)
    assert (statuses(state), state.version) == ({}, 3)


def test_a_late_lock_does_not_bring_a_released_seat_back() -> None:
    state = TeamState()
    state.apply(answer(1, seat("a")))
    state.apply(answer(3, seat("b", OrderStatus.CANCELLED)))
    state.apply(answer(2, seat("b")))
    assert statuses(state) == {"a": OrderStatus.LOCKED}


def test_a_late_lock_does_not_take_the_team_back() -> None:
    until = NOW + timedelta(days=7)
    state = TeamState()
    state.apply(answer(1, seat("a")))
    state.apply(
        TeamAnswer(team=team(4, TeamStatus.COMPLETED, refund_until=until, deadline=NOW), decides_team=True), is_last=False
    )
    state.apply(answer(3, seat("b")), is_last=False)
    assert (state.status, state.deadline, state.refund_until, state.version) == (TeamStatus.COMPLETED, NOW, until, 4)
    assert statuses(state) == {"a": OrderStatus.LOCKED, "b": OrderStatus.LOCKED}


CHANGES = st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from([*OrderStatus])), min_size=1, max_size=12)


@given(changes=CHANGES, data=st.data())
def test_answers_lead_to_the_same_view_in_every_order(changes: list[tuple[str, OrderStatus]], data: st.DataObject) -> None:
    answers = [answer(version, seat(*change)) for version, change in enumerate(changes, 1)]
    in_order, shuffled = TeamState(), TeamState()
    for one in answers:
        in_order.apply(one)
    for one in data.draw(st.permutations(answers)):
        shuffled.apply(one)
    assert (
        statuses(shuffled)
        == statuses(in_order)
        == {number: status for number, status in dict(changes).items() if status in {OrderStatus.LOCKED, OrderStatus.PAID}}
    )
    assert shuffled.version == in_order.version == len(changes)


@given(changes=CHANGES, read_after=st.integers(0, 12), data=st.data())
def test_reading_the_rows_at_any_moment_leads_to_the_same_view(
    changes: list[tuple[str, OrderStatus]], read_after: int, data: st.DataObject
) -> None:
    """Also where answers were lost before that moment."""
    read_after = min(read_after, len(changes))
    before = dict(changes[:read_after])
    rows = answer(read_after, *(seat(*each) for each in before.items()))
    answers = [answer(version, seat(*change)) for version, change in enumerate(changes, 1)]
    kept = data.draw(st.sets(st.sampled_from(range(read_after)))) if read_after else set()
    state = TeamState()
    for index in sorted(kept):
        state.apply(answers[index])
    assert state.replace(rows, state.version)
    for one in data.draw(st.permutations([*answers[read_after:], *(answers[index] for index in kept)])):
        state.apply(one)
    live = {number: status for number, status in dict(changes).items() if status in {OrderStatus.LOCKED, OrderStatus.PAID}}
    assert statuses(state) == live


def test_the_state_survives_continuing_as_new() -> None:
    state = TeamState()
    state.apply(answer(1, seat("a")))
    team_input = TeamInput(
        team_id="t", source="s01", campaign_id=1, goods_id="g", goods_name="book", target_count=3, state=state
    )
    converter = data_converter.payload_converter
    assert converter.from_payload(converter.to_payload(team_input), TeamInput) == team_input
