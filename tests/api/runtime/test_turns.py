"""Turns: payments before locks before quotes, and what cannot be answered in time is refused at once."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from types import SimpleNamespace

import pytest

from api.runtime.turns import MOST_SECONDS, Turn, Turns
from domain.errors import Unavailable
from tests.api.polling import until

PATIENCE = dict.fromkeys(Turn, 60.0)
FIRST_INTERVAL = 3.0
"""so long that by the clock nobody's patience ends in a test"""


def new_turns(at_once: int, patience: dict[Turn, float] | None = None, first_interval: float = FIRST_INTERVAL) -> Turns:
    return Turns(at_once, PATIENCE | (patience or {}), first_interval)


class Counter:
    """Requests for turns, by name, and the order in which they got theirs."""

    def __init__(self, turns: Turns) -> None:
        self._turns = turns
        self._requests: dict[str, asyncio.Task[None]] = {}
        self.served: list[str] = []
        self.refused: list[str] = []
        self.on_turn: Callable[[], None] = lambda: None

    async def ask(self, name: str, turn: Turn, team: str = "") -> None:
        """Returns when the request waits, or has had its turn."""
        self._requests[name] = asyncio.create_task(self._work(name, turn, team))
        await asyncio.sleep(0)

    def cancel(self, name: str) -> None:
        """The client goes away; its request hears of it together with whatever else has come by then."""
        self._requests[name].cancel()

    async def all_ended(self) -> None:
        async with asyncio.timeout(10):
            await asyncio.gather(*self._requests.values(), return_exceptions=True)

    async def _work(self, name: str, turn: Turn, team: str) -> None:
        try:
            async with self._turns.take(turn, team):
                self.on_turn()
                self.served.append(name)
        except Unavailable:
            self.refused.append(name)


@asynccontextmanager
async def busy(turns: Turns, at_once: int = 1) -> AsyncIterator[Counter]:
    """All turns are taken inside."""
    counter = Counter(turns)
    leave = asyncio.Event()

    async def hold() -> None:
        async with turns.take(Turn.QUOTE):
            await leave.wait()

    holders = [asyncio.create_task(hold()) for _ in range(at_once)]
    await asyncio.sleep(0)
    yield counter
    leave.set()
    async with asyncio.timeout(10):
        await asyncio.gather(*holders)
    await counter.all_ended()


async def test_payments_go_before_locks_and_locks_before_quotes_whoever_came_first() -> None:
    async with busy(new_turns(1)) as counter:
        for name, turn in (
            ("quote 1", Turn.QUOTE),
            ("lock 1", Turn.LOCK),
            ("payment 1", Turn.PAYMENT),
            ("quote 2", Turn.QUOTE),
            ("lock 2", Turn.LOCK),
            ("payment 2", Turn.PAYMENT),
        ):
            await counter.ask(name, turn)
        assert counter.served == []
    assert counter.served == ["payment 1", "payment 2", "lock 1", "lock 2", "quote 1", "quote 2"]


async def test_the_joiners_of_one_team_leave_room_for_everybody_else() -> None:
    turns = new_turns(1, {Turn.LOCK: 2.5 * FIRST_INTERVAL})
    async with busy(turns) as counter:
        for number in range(4):
            await counter.ask(f"joiner {number}", Turn.LOCK, "team")
        await counter.ask("joiner elsewhere", Turn.LOCK, "another team")
        await counter.ask("opener 0", Turn.LOCK)
        counter.cancel("joiner 1")
    assert counter.served == ["joiner 0", "joiner elsewhere", "opener 0", "joiner 2"]
    assert counter.refused == ["joiner 3"]


async def test_who_would_wait_too_long_is_refused_at_once_and_counts_only_who_goes_first() -> None:
    turns = new_turns(1, {Turn.LOCK: 2.5 * FIRST_INTERVAL})
    async with busy(turns) as counter:
        for number in range(5):
            await counter.ask(f"quote {number}", Turn.QUOTE)  # they wait behind locks
        for number in range(2):
            await counter.ask(f"lock {number}", Turn.LOCK)
        await counter.ask("payment", Turn.PAYMENT)
        with pytest.raises(Unavailable) as refused:
            async with turns.take(Turn.LOCK):
                pytest.fail("it had to wait for three")
        assert refused.value.retry_after is not None
        assert 1 <= refused.value.retry_after <= MOST_SECONDS
        await counter.ask("another payment", Turn.PAYMENT)
    assert (len(counter.served), counter.refused) == (9, [])


async def test_the_wait_is_estimated_by_the_time_between_answers_of_this_crowd(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("api.runtime.turns.time", SimpleNamespace(monotonic=lambda: now))
    turns = new_turns(1, {Turn.LOCK: 1.5}, 0.003)
    latecomers: list[asyncio.Task[None]] = []
    async with busy(turns) as slow:

        def work_for_a_second() -> None:
            nonlocal now
            now += 1
            if len(slow.served) == 60:
                latecomers.append(asyncio.create_task(slow.ask("late lock", Turn.LOCK)))

        slow.on_turn = work_for_a_second
        await slow.ask("lock", Turn.LOCK)
        for number in range(100):
            await slow.ask(str(number), Turn.PAYMENT)
    await asyncio.gather(*latecomers)
    assert (len(slow.served), slow.refused) == (101, ["late lock"])

    # Another crowd, later: what the last one took says nothing.
    async with busy(turns) as quick:
        for name, turn in (("payment 1", Turn.PAYMENT), ("payment 2", Turn.PAYMENT), ("lock", Turn.LOCK)):
            await quick.ask(name, turn)
    assert quick.refused == []


async def test_a_process_that_stood_still_for_a_moment_refuses_nobody_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    now, crowd, interval = 100.0, 2000, 0.003
    monkeypatch.setattr("api.runtime.turns.time", SimpleNamespace(monotonic=lambda: now))
    turns = new_turns(1, {Turn.LOCK: 1.5 * crowd * interval}, interval)
    async with busy(turns) as counter:

        def work() -> None:
            nonlocal now
            now += 1 if len(counter.served) == 10 else interval
            if len(counter.served) == 20:
                latecomers.extend(asyncio.create_task(counter.ask(f"late {number}", Turn.LOCK)) for number in range(20))

        latecomers: list[asyncio.Task[None]] = []
        counter.on_turn = work
        for number in range(crowd):
            await counter.ask(str(number), Turn.LOCK)
    await asyncio.gather(*latecomers)
    await counter.all_ended()
    assert (len(counter.served), counter.refused) == (crowd + 20, [])


async def test_who_gave_up_waiting_loses_no_turn_for_others() -> None:
    turns = new_turns(2)
    async with busy(turns, at_once=2) as counter:
        for name in ("first", "second", "third"):
            await counter.ask(name, Turn.LOCK)
        counter.cancel("first")
    assert counter.served == ["second", "third"]
    async with busy(turns, at_once=2):  # both turns are there again
        pass


async def test_it_is_known_whether_somebody_waits() -> None:
    turns = new_turns(at_once=1)
    async with busy(turns) as counter:
        assert not turns.are_awaited()
        await counter.ask("a lock", Turn.LOCK)
        assert turns.are_awaited()
    await counter.all_ended()
    assert not turns.are_awaited()


async def test_who_gave_up_waiting_is_in_nobodys_way() -> None:
    turns = new_turns(1, {Turn.LOCK: 2.5 * FIRST_INTERVAL})
    async with busy(turns) as counter:
        for number in range(3):
            await counter.ask(f"lock {number}", Turn.LOCK)
        await counter.ask("one too many", Turn.LOCK)
        for number in range(2):
            counter.cancel(f"lock {number}")
        await asyncio.sleep(0)
        await counter.ask("another", Turn.LOCK)
    assert (counter.served, counter.refused) == (["lock 2", "another"], ["one too many"])


async def test_who_has_waited_too_long_in_spite_of_the_estimate_is_refused_and_does_no_work_in_vain() -> None:
    turns = new_turns(1, {Turn.QUOTE: 0.05})
    async with busy(turns) as counter:
        await counter.ask("quote", Turn.QUOTE)
        await counter.ask("lock", Turn.LOCK)

        async def refused() -> list[str]:
            return counter.refused

        await until(refused, bool)
    assert (counter.served, counter.refused) == (["lock"], ["quote"])


async def test_a_turn_that_comes_together_with_a_cancellation_goes_to_the_next() -> None:
    turns = new_turns(1)
    counter = Counter(turns)
    async with turns.take(Turn.LOCK):
        await counter.ask("first", Turn.LOCK)
        await counter.ask("second", Turn.LOCK)
    counter.cancel("first")  # it has its turn, and has not yet heard of it
    await counter.all_ended()
    assert counter.served == ["second"]
    async with asyncio.timeout(10), turns.take(Turn.LOCK):
        pass


async def test_who_holds_a_turn_needs_no_second_one_and_knows_how_long_it_has_waited(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("api.runtime.turns.time", SimpleNamespace(monotonic=lambda: now))
    turns, times = new_turns(1), []

    async def work() -> None:
        async with turns.take(Turn.LOCK), turns.take(Turn.LOCK):
            times.append(turns.waited())
        assert turns.waited() == 0

    async with busy(turns):
        working = asyncio.create_task(work())
        await asyncio.sleep(0)
        now += 2
    await working
    await work()
    assert times == [2, 0]
