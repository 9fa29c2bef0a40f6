"""Which way a lock or a payment goes: through the team's workflow, or directly to the rows (docs/crowds.md).

Counted per process. Orchestrated as long as the engine keeps up; nobody's order is used to find out whether it is back.
"""

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from enum import StrEnum

from prometheus_client import Counter, Gauge
from temporalio.client import WorkflowUpdateRPCTimeoutOrCancelledError
from temporalio.service import RPCError

log = logging.getLogger("groupbuy.api")

ADMISSIONS = Counter("groupbuy_admissions", "Locks and payments by their way in", ["call", "way", "reason"])
BOUND = Gauge("groupbuy_orchestrated_bound", "Orchestrated requests that this process may have under way")
ENGINE_AWAY = Gauge("groupbuy_engine_away", "1 while Temporal or the workers of the teams are known not to answer")

MISSES, GOOD_PROBES = 3, 3
"""in a row, after which the engine is taken as away, and as back"""
SHORTEST_WAIT = 0.2
"""seconds for which a workflow is waited for at least"""
WAIT_GROWS_BY = 0.05
PROBE_INTERVAL = 1.0
SILENCE = 3.0
"""seconds without any answer to requests that wait for one, after which an engine that everything needs is taken as away"""


class Reason(StrEnum):
    """Why a request goes directly."""

    BOUND = "bound"
    """enough orchestrated requests are under way, or others wait for a turn"""
    SAME_TEAM = "same_team"
    """one of the same team is under way"""
    NO_ANSWER = "no_answer"
    """the workflow did not answer in time"""
    ENGINE_AWAY = "engine_away"
    """Temporal or its workers do not answer"""
    NO_WORKFLOW = "no_workflow"
    """the team has none at present"""


class EngineSilentError(Exception):
    """The engine has answered nobody for too long."""


class AdmissionControl:
    def __init__(
        self,
        at_once: int,
        within: float,
        probe: Callable[[], Awaitable[None]],
        is_crowded: Callable[[], bool] = lambda: False,
    ) -> None:
        """
        Args:
            at_once: the most orchestrated requests that this process has under way.
            within: seconds for which a workflow is waited for at most.
            probe: asks the engine for an answer; raises RPCError, TimeoutError or RuntimeError where none comes in time.
            is_crowded: whether requests wait for their turn: the CPU of an orchestrated one would serve many of them.
        """
        self._at_once = at_once
        self._longest_wait = self._wait = within
        self._probe = probe
        self._is_crowded = is_crowded
        self._bound = at_once
        self._under_way = 0
        self._teams: set[str] = set()
        self._misses = 0
        self._silence_limits: set[asyncio.Timeout] = set()
        self._went_away = asyncio.Event()
        self.direct: dict[str, int] = dict.fromkeys(Reason, 0)
        """requests that went directly, by reason"""
        BOUND.set(at_once)
        ENGINE_AWAY.set(0)

    @property
    def is_engine_away(self) -> bool:
        return self._went_away.is_set()

    @property
    def wait(self) -> float:
        """Seconds for which a workflow is waited for: fewer after misses, because a busy engine stays so for a while."""
        return self._wait

    def reason_against(self, team_id: str) -> Reason | None:
        """Returns why a request of this team goes directly now; None: it may be orchestrated."""
        if self.is_engine_away:
            return Reason.ENGINE_AWAY
        if self._under_way >= self._bound or self._is_crowded():
            return Reason.BOUND
        return Reason.SAME_TEAM if team_id in self._teams else None

    @asynccontextmanager
    async def under_way(self, team_id: str) -> AsyncIterator[None]:
        """Counts an orchestrated request that `reason_against` has let pass."""
        self._under_way += 1
        self._teams.add(team_id)
        try:
            yield
        finally:
            self._under_way -= 1
            self._teams.discard(team_id)

    @asynccontextmanager
    async def while_engine_answers(self) -> AsyncIterator[None]:
        """Bounds the wait for an answer by the engine's silence, not by a time: in a crowd an answer is late, and others come.

        Raises:
            EngineSilentError: the engine has answered nobody for too long.
        """
        limit = asyncio.timeout(SILENCE)
        try:
            async with limit:
                self._silence_limits.add(limit)
                try:
                    yield
                finally:
                    self._silence_limits.discard(limit)
        except TimeoutError:
            if limit.expired():
                raise EngineSilentError from None
            raise

    def note_direct(self, call: str, reason: Reason) -> None:
        self.direct[reason] += 1
        ADMISSIONS.labels(call, "direct", reason).inc()

    def note_answer(self) -> None:
        self._misses = 0
        self._set_bound(self._bound + 1)
        self._wait = min(self._wait + WAIT_GROWS_BY, self._longest_wait)
        self._limit_silence(SILENCE)

    def note_miss(self, *, is_away: bool = False) -> None:
        """`is_away`: Temporal itself said that it cannot serve."""
        self._misses += 1
        self._set_bound(self._bound // 2)
        self._wait = min(max(self._wait / 2, SHORTEST_WAIT), self._longest_wait)
        if (is_away or self._misses >= MISSES) and not self.is_engine_away:
            log.warning("Temporal or the workers of the teams do not answer: no lock and no payment is orchestrated")
            self._went_away.set()
            ENGINE_AWAY.set(1)
            self._limit_silence(0)  # who waits for it waits in vain

    async def run(self) -> None:
        """Probes the engine while it is away, until cancelled."""
        good = 0
        while True:
            await self._went_away.wait()
            await asyncio.sleep(PROBE_INTERVAL * random.uniform(0.5, 1.5))  # noqa: S311 - not a secret
            good = good + 1 if await self._is_answered() else 0
            if good >= GOOD_PROBES:
                log.warning("Temporal and the workers of the teams answer again")
                good = self._misses = 0
                self._set_bound(1)
                self._went_away.clear()
                ENGINE_AWAY.set(0)

    async def _is_answered(self) -> bool:
        try:
            await self._probe()
        except (RPCError, WorkflowUpdateRPCTimeoutOrCancelledError, TimeoutError, RuntimeError):
            return False
        return True

    def _limit_silence(self, seconds: float) -> None:
        until = asyncio.get_running_loop().time() + seconds
        for limit in self._silence_limits:
            if not limit.expired():
                limit.reschedule(until)

    def _set_bound(self, bound: int) -> None:
        self._bound = min(max(bound, 1), self._at_once)
        BOUND.set(self._bound)
