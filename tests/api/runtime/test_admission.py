"""Which way a request goes: a bound that follows the engine's answers, and a breaker that nobody's order probes."""

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress

import pytest
from temporalio.service import RPCError, RPCStatusCode

from api.runtime import admission
from api.runtime.admission import MISSES, AdmissionControl, EngineSilentError, Reason
from tests.api.polling import until

WITHIN = 1.0


class Engine:
    """Answers probes as a test says, and counts them."""

    def __init__(self, *answers: bool) -> None:
        self._answers = list(answers)
        self.probes = 0
        self.all_answered = asyncio.Event()

    async def probe(self) -> None:
        self.probes += 1
        is_good = self._answers.pop(0)
        if not self._answers:
            self.all_answered.set()
        if not is_good:
            raise RPCError("no workers", RPCStatusCode.DEADLINE_EXCEEDED, b"")


async def free_places(control: AdmissionControl) -> int:
    """Returns how many requests of teams of their own may be orchestrated at once."""
    async with AsyncExitStack() as under_way:
        count = 0
        while control.reason_against(f"team-{count}") is None:
            await under_way.enter_async_context(control.under_way(f"team-{count}"))
            count += 1
        return count


async def test_the_bound_halves_with_each_miss_and_grows_by_one_with_each_answer() -> None:
    control = AdmissionControl(8, WITHIN, Engine().probe)
    seen = [await free_places(control)]
    for note in (control.note_miss, control.note_miss, control.note_answer, control.note_answer, control.note_miss):
        note()
        seen.append(await free_places(control))
    assert seen == [8, 4, 2, 3, 4, 2]
    for _ in range(20):
        control.note_answer()
    assert await free_places(control) == 8


async def test_the_wait_halves_with_each_miss_down_to_a_least_and_grows_slowly_with_answers() -> None:
    control = AdmissionControl(8, WITHIN, Engine().probe)
    waits = [control.wait]
    for _ in range(3):
        control.note_miss()
        waits.append(control.wait)
    assert waits == [1.0, 0.5, 0.25, admission.SHORTEST_WAIT]
    control.note_answer()
    assert control.wait == pytest.approx(admission.SHORTEST_WAIT + admission.WAIT_GROWS_BY)
    for _ in range(20):
        control.note_answer()
    assert control.wait == WITHIN
    impatient = AdmissionControl(8, 0.1, Engine().probe)
    impatient.note_miss()
    assert impatient.wait == 0.1


async def test_a_bound_of_nothing_orchestrates_nothing() -> None:
    control = AdmissionControl(0, WITHIN, Engine().probe)
    control.note_answer()
    assert control.reason_against("a") is Reason.BOUND


async def test_a_team_has_one_request_under_way() -> None:
    control = AdmissionControl(2, WITHIN, Engine().probe)
    async with control.under_way("a"):
        assert (control.reason_against("a"), control.reason_against("b")) == (Reason.SAME_TEAM, None)
        async with control.under_way("b"):
            assert control.reason_against("a") is Reason.BOUND
    with suppress(TimeoutError):
        async with control.under_way("a"):
            raise TimeoutError
    assert control.reason_against("a") is None


async def test_nothing_is_orchestrated_while_others_wait_for_a_turn() -> None:
    waiting = ["somebody"]
    control = AdmissionControl(2, WITHIN, Engine().probe, is_crowded=lambda: bool(waiting))
    assert control.reason_against("a") is Reason.BOUND
    waiting.clear()
    assert control.reason_against("a") is None


def miss_in_a_row(control: AdmissionControl) -> None:
    for _ in range(MISSES):
        control.note_miss()


def miss_with_answers_between(control: AdmissionControl) -> None:
    for _ in range(MISSES - 1):
        control.note_miss()
    control.note_answer()
    for _ in range(MISSES - 1):
        control.note_miss()


def meet_a_missing_namespace(control: AdmissionControl) -> None:
    control.note_miss(is_away=True)


@pytest.mark.parametrize(
    ("meet", "is_away"), [(miss_in_a_row, True), (miss_with_answers_between, False), (meet_a_missing_namespace, True)]
)
async def test_the_engine_is_away_after_misses_in_a_row_or_by_its_own_word(
    meet: Callable[[AdmissionControl], None], is_away: bool
) -> None:
    control = AdmissionControl(100, WITHIN, Engine().probe)
    meet(control)
    assert control.is_engine_away is is_away
    assert control.reason_against("a") is (Reason.ENGINE_AWAY if is_away else None)


async def test_only_good_probes_in_a_row_bring_the_engine_back_and_the_bound_restarts_at_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(admission, "PROBE_INTERVAL", 0.0)
    engine = Engine(False, True, True, False, True, True, True)
    control = AdmissionControl(8, WITHIN, engine.probe)
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        probing = group.create_task(control.run())
        await asyncio.sleep(0)
        assert engine.probes == 0  # nobody asks an engine that is not known to be away
        control.note_miss(is_away=True)
        control.note_answer()  # of a request that was under way before
        assert control.reason_against("a") is Reason.ENGINE_AWAY

        async def is_away() -> bool:
            return control.is_engine_away

        await until(is_away, lambda away: not away)
        assert engine.all_answered.is_set()
        probing.cancel()
    assert engine.probes == 7
    assert await free_places(control) == 1
    for _ in range(MISSES - 1):
        control.note_miss()
    assert not control.is_engine_away  # the misses of the outage are forgotten


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Silence is short, and no test has to wait for it."""
    monkeypatch.setattr(admission, "SILENCE", 0.3)


async def wait_for_engine(control: AdmissionControl) -> None:
    async with control.while_engine_answers():
        await asyncio.Event().wait()


@pytest.mark.usefixtures("impatient")
async def test_a_request_is_waited_for_as_long_as_others_are_answered() -> None:
    control = AdmissionControl(8, WITHIN, Engine().probe)
    waiting = asyncio.create_task(wait_for_engine(control))
    for _ in range(6):
        await asyncio.sleep(0.1)
        control.note_answer()
    assert not waiting.done()
    with pytest.raises(EngineSilentError):
        await waiting


@pytest.mark.usefixtures("impatient")
async def test_nobody_waits_any_longer_for_an_engine_that_is_known_to_be_away() -> None:
    control = AdmissionControl(8, WITHIN, Engine().probe)
    waiting = [asyncio.create_task(wait_for_engine(control)) for _ in range(3)]
    await asyncio.sleep(0)
    control.note_miss(is_away=True)
    done, _ = await asyncio.wait(waiting, timeout=0.1)
    assert done == set(waiting)
    assert {type(each.exception()) for each in waiting} == {EngineSilentError}


@pytest.mark.usefixtures("impatient")
async def test_another_timeout_is_not_the_engines_silence() -> None:
    control = AdmissionControl(8, WITHIN, Engine().probe)
    with pytest.raises(TimeoutError):
        async with control.while_engine_answers():
            raise TimeoutError
