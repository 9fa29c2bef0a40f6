"""A market that hypothesis drives: buyers, a moody mall, operators, time and crashes, against the whole stack.

After every step the invariants of docs/rules.md hold. At the end of every run the mall is in a good mood, every team is
ended, and every payment has come to exactly one end that the mall was told of.
"""

import asyncio
from collections import Counter
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeVar

import aiohttp
from aiohttp import web
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from temporalio.client import Client
from temporalio.service import RPCError

from embedded.errors import StackError
from embedded.stack import Stack
from tests.api.caller import Answer
from tests.api.polling import until
from tests.api.receiver import Receiver
from tests.api.shop import Json, Offer, Shop, fresh

Result = TypeVar("Result")

SHORT: dict[str, Any] = {"lock_ttl": 2, "payment_grace": 1, "team_ttl": 8, "refund_window": 4}
CAMPAIGNS: tuple[dict[str, Any], ...] = (
    {**SHORT, "target_count": 2, "take_limit": 2},
    {**SHORT, "target_count": 3, "take_limit": 1, "min_count": 2, "stock": 12},
)
# What is drawn depends on nothing that the stack has answered: it may answer another time differently.
CAMPAIGN = st.integers(0, len(CAMPAIGNS) - 1)
USER = st.sampled_from([f"buyer-{number}" for number in range(6)])
ORDER = st.integers(0, 39)
EXPECTED = {200, 201, 202, 403, 404, 409, 422, 503}
VETO = {"code": "refund_rejected", "detail": "in no mood"}
SETTLED_WITHIN = 60.0
PATIENCE = 5


@dataclass
class World:
    """What all runs of the machine share, on the event loop that it lives on."""

    loop: asyncio.AbstractEventLoop
    stack: Stack
    shop: Shop
    receiver: Receiver
    temporal: Client
    crashes: bool = True
    steps: int = 0
    answers: Counter[str] = field(default_factory=Counter)
    ends: Counter[str] = field(default_factory=Counter)

    def do(self, action: Coroutine[Any, Any, Result]) -> Result:
        """From the thread of hypothesis."""
        return asyncio.run_coroutine_threadsafe(action, self.loop).result()


class Market(RuleBasedStateMachine):
    world: ClassVar[World]

    def __init__(self) -> None:
        super().__init__()
        self._offers: list[Offer] = []
        self._requests: dict[str, Json] = {}
        self._outcomes: dict[str, str] = {}
        self._known: list[Json] = []
        self._run = fresh("")

    # --- the mall and its buyers ---

    @initialize()
    def open_the_shop(self) -> None:
        self._mood(question="yes", news="yes")
        self._offers = [self.world.do(self.world.shop.sell(**fields)) for fields in CAMPAIGNS]
        # A completed team, and one in which somebody has paid: what is rare otherwise.
        for campaign in range(len(CAMPAIGNS)):
            self._lock(self._offers[campaign], user_id="early-1", insist=True)
            self._lock(self._offers[campaign], user_id="early-2", insist=True, team_id=self._known[-1]["team_id"])
        for order in (0, 1, 2):
            self.pay(order, "")

    @rule(campaign=CAMPAIGN, user=USER)
    def open_team(self, campaign: int, user: str) -> None:
        self._lock(self._offers[campaign], user_id=user)

    @rule(order=ORDER, user=USER)
    def join(self, order: int, user: str) -> None:
        if known := self._order(order):
            offer = next(offer for offer in self._offers if offer.campaign_id == known["campaign_id"])
            self._lock(offer, user_id=user, team_id=known["team_id"])

    @rule(order=ORDER, users=st.permutations(["late-1", "late-2", "late-3"]))
    def fill_a_team(self, order: int, users: list[str]) -> None:
        """Whoever is missing joins, and everybody pays."""
        if known := self._order(order):
            for user in users:
                self.join(order, user)
            for number, one in enumerate(self._known):
                if one["team_id"] == known["team_id"]:
                    self.pay(number, "")

    def _lock(self, offer: Offer, user_id: str, *, insist: bool = False, **wanted: object) -> None:
        # Each run has buyers of its own: those who let many seats lapse are slowed down.
        request = offer.request(callback=self.world.receiver.callback(), user_id=user_id + self._run, **wanted)
        answer = self._ask(self.world.shop.mall.post("/v1/orders", request))
        for _ in range(PATIENCE if insist else 0):
            # The worker that the run before killed may still be on its way back.
            if answer is None or answer.status == 503:
                answer = self._ask(self.world.shop.mall.post("/v1/orders", request))
        assert not insist or (answer is not None and answer.status in {200, 201}), answer
        if answer is not None and answer.status in {200, 201}:
            self._requests[request["out_trade_no"]] = request
            self._known.append(answer.body)

    @rule(order=ORDER, amount=st.sampled_from(["", "", "", "", "1.00"]))
    def pay(self, order: int, amount: str) -> None:
        if known := self._order(order):
            answer = self._ask(self.world.shop.pay(known, amount or None))
            if answer is not None and answer.status == 200:
                outcome = self._outcomes.setdefault(known["out_trade_no"], answer.body["outcome"])
                assert outcome == answer.body["outcome"], "a payment has two outcomes"

    @rule(order=ORDER)
    def refund(self, order: int) -> None:
        if known := self._order(order):
            self._ask(self.world.shop.refund(known))

    @rule(order=ORDER)
    def repeat_a_lock(self, order: int) -> None:
        if known := self._order(order):
            answer = self._ask(self.world.shop.mall.post("/v1/orders", self._requests[known["out_trade_no"]]))
            assert answer is None or answer.status == 503 or answer.body["order_id"] == known["order_id"]

    @rule(question=st.sampled_from(["yes", "veto", "gone"]), news=st.sampled_from(["yes", "yes", "busy", "gone"]))
    def change_the_mall_s_mood(self, question: str, news: str) -> None:
        self._mood(question=question, news=news)

    # --- operators ---

    @rule(order=ORDER, signal=st.sampled_from(["extend", "complete", "close"]))
    def operate_on_a_team(self, order: int, signal: str) -> None:
        if known := self._order(order):
            body: Json = {"minutes": 1} if signal == "extend" else {"reason": "a whim"}
            self._ask(self.world.shop.ops.post(f"/v1/ops/teams/{known['team_id']}/{signal}", body))

    @rule(order=ORDER, force=st.booleans())
    def refund_by_an_operator(self, order: int, force: bool) -> None:
        if known := self._order(order):
            self._ask(self.world.shop.ops.post(f"/v1/ops/orders/{known['order_id']}/refund", {"force": force}))

    @rule(order=ORDER, word=st.sampled_from(["decision", "decision", "resend", "close_manually"]), approve=st.booleans())
    def step_into_a_refund(self, order: int, word: str, approve: bool) -> None:
        bodies: dict[str, Json] = {"decision": {"approve": approve}, "close_manually": {"note": "by phone"}, "resend": {}}
        if known := self._order(order):
            self._ask(self.world.shop.ops.post(f"/v1/ops/refunds/{known['order_id']}/{word}", bodies[word]))

    @rule(order=ORDER, what=st.sampled_from(["team", "refund"]))
    def cancel_a_workflow(self, order: int, what: str) -> None:
        if known := self._order(order):
            workflow_id = f"team-{known['team_id']}" if what == "team" else f"refund-{known['order_id']}-1"
            self.world.do(self._cancel(workflow_id))

    async def _cancel(self, workflow_id: str) -> None:
        try:
            await self.world.temporal.get_workflow_handle(workflow_id).cancel()
        except RPCError:
            self.world.answers["cancel: no such workflow"] += 1

    # --- time and trouble ---

    @rule(seconds=st.sampled_from([0.2, 0.5, 1.2]))
    def let_time_pass(self, seconds: float) -> None:
        self.world.do(asyncio.sleep(seconds))

    @rule(dice=st.integers(0, 9))
    def kill_the_worker(self, dice: int) -> None:
        async def kill() -> None:
            with suppress(ProcessLookupError, StackError):  # it is dead already
                self.world.stack.kill("worker-1")

        if dice == 7 and self.world.crashes:
            self.world.answers["worker killed"] += 1
            self.world.do(kill())

    # --- what must be true ---

    @invariant()
    def the_invariants_hold(self) -> None:
        self.world.steps += 1
        assert self.world.do(self.world.shop.violations()) == []

    def teardown(self) -> None:
        """Everything comes to its end."""
        if self._known:
            self._mood(question="yes", news="yes")
            self.world.do(self._settle_everything())

    async def _settle_everything(self) -> None:
        shop, teams = self.world.shop, {order["team_id"] for order in self._known}

        async def left() -> list[str]:
            for team_id in teams:
                await shop.ops.post(f"/v1/ops/teams/{team_id}/close", {})
            left = []
            for order in self._known:
                now = await shop.order(order["out_trade_no"])
                if now["status"] == "refunding":
                    await shop.ops.post(f"/v1/ops/refunds/{order['order_id']}/resend")
                team = await shop.team(order["team_id"])
                if now["status"] in {"locked", "refunding"} or team["status"] == "forming" or _is_owed(now, team):
                    left.append(f"{order['out_trade_no']}: {now['status']} in {team['status']}")
            return left

        await until(left, lambda found: not found, within=SETTLED_WITHIN)
        assert await shop.violations() == []
        await self._every_payment_has_one_end()

    async def _every_payment_has_one_end(self) -> None:
        told = Counter(
            {(one.event_id, one.data["out_trade_no"]) for one in self.world.receiver.received if one.type == "order.refunded"}
        )
        times = Counter(out_trade_no for _, out_trade_no in told)
        for order in self._known:
            number = order["out_trade_no"]
            now = await self.world.shop.order(number)
            self.world.ends[now["status"]] += 1
            if number in self._outcomes:
                assert now["status"] in {"paid", "refunded"}, f"{number} was paid, and is {now['status']}"
            if now["status"] == "paid":
                team = await self.world.shop.team(now["team_id"])
                assert team["status"] in {"completed", "completed_with_refunds"}
                assert times[number] == 0, f"{number} is paid, and the mall was told to return its money"
            if now["status"] == "refunded":
                assert times[number] <= 1, f"the mall was told twice to return the money of {number}"
            if now["status"] == "cancelled":
                assert number not in self._outcomes
                assert times[number] == 0

    # --- how it is done ---

    def _order(self, number: int) -> Json | None:
        return self._known[number % len(self._known)] if self._known else None

    def _mood(self, *, question: str, news: str) -> None:
        """What the mall says until it is told otherwise."""
        statuses = {"yes": 200, "veto": 409, "gone": 410, "busy": 503}

        def answer(kind: str) -> web.Response:
            mood = question if kind == "order.refund_requested" else news
            return web.json_response(VETO, status=statuses[mood])

        self.world.receiver.answer_with(answer)

    def _ask(self, asking: Coroutine[Any, Any, Answer]) -> Answer | None:
        """The answer, which is none that nobody expects; None where the API itself cannot be reached."""
        try:
            answer = self.world.do(asking)
        except aiohttp.ClientConnectionError:
            return None
        self.world.answers[answer.code or str(answer.status)] += 1
        assert answer.status in EXPECTED, (answer.status, answer.body)
        return answer


def _is_owed(order: Json, team: Json) -> bool:
    return bool(order["status"] == "paid" and team["status"] == "failed")
