"""What malls, buyers and operators write is text in the Temporal UI, whatever Markdown or HTML it has; rendered by that UI."""

from collections.abc import AsyncIterator
from decimal import Decimal
from html.parser import HTMLParser

import aiohttp
import pytest
from aiohttp import web
from temporalio.client import WorkflowFailureError
from temporalio.testing import WorkflowEnvironment

from db.core.connection import Database
from domain.lifecycle import OrderStatus
from domain.messages.callbacks import Address
from domain.messages.campaigns import ShutdownInput, ShutdownState
from embedded.stack import Stack
from tests.api.polling import until
from tests.api.receiver import Receiver, listening
from tests.api.signals import Handle, details, until_details
from tests.workflows.play import SECRET, Play, publish, working
from workflows.details import shutdown_details, team_details
from workflows.markdown import SUMMARY_PART, quote
from workflows.team.state import Seat, TeamState

OURS = {"p", "strong", "table", "thead", "tbody", "tr", "th", "td"}
"""what details are made of, beside code"""
NOTHING_DONE = ShutdownState(
    teams_total=0,
    teams_done=0,
    teams_completed=0,
    refunds_total=0,
    refunds_done=0,
    refunds_attention=0,
    amount_total=Decimal(0),
    amount_returned=Decimal(0),
    finished=False,
)
MARK = "EVIL"
HOSTILE = [
    f"{MARK}\n\n# {MARK}\n\n2026-01-01 00:00:00 UTC: agreed in the mall's place by {MARK}.",
    f"[{MARK}](https://{MARK}.example) <https://{MARK}.example> https://{MARK}.example ![{MARK}](https://{MARK}.example/x.png)",
    f"<img src=x alt={MARK}> <b>{MARK}</b> <script>{MARK}</script> &lt;b&gt;{MARK}",
    f"`{MARK}` ``{MARK}` ```\n{MARK}\n``` \\`{MARK}\\",
    f"| {MARK} | {MARK} \\| {MARK} |\n|---|---|\n| {MARK} |",
    f"**{MARK}** _{MARK}_ ~~{MARK}~~ $x^2$ $${MARK}$$ - {MARK}\r\n> {MARK}\n===\n{MARK}",
    f"\u202e{MARK}\u2066\u200f {MARK}\u2028{MARK}\u2029{MARK}\x1b[31m\ufeff\U000e0041",
]


class Rendered(HTMLParser):
    """The tags of a page's main part, and the text that is not code."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.prose = self.code = ""
        self._in_code = False
        self.feed(page.partition("<main>")[2].partition("</main>")[0])

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:  # noqa: ARG002 - HTMLParser's signature
        self.tags.add(tag)
        self._in_code |= tag == "code"

    def handle_endtag(self, tag: str) -> None:
        self._in_code &= tag != "code"

    def handle_data(self, data: str) -> None:
        if self._in_code:
            self.code += data
        else:
            self.prose += data


class TemporalUi:
    def __init__(self, http: aiohttp.ClientSession, url: str) -> None:
        self._http = http
        self._url = url

    async def render(self, markdown: str) -> Rendered:
        async with self._http.get(f"{self._url}/render", params={"content": markdown}) as response:
            assert response.status == 200
            return Rendered(await response.text())

    async def assert_is_text(self, markdown: str) -> Rendered:
        """Everything that was written by others is code, and nothing but text."""
        rendered = await self.render(markdown)
        assert MARK in rendered.code
        assert MARK not in rendered.prose
        assert rendered.tags <= OURS | {"code"}
        return rendered


@pytest.fixture
async def ui(services: Stack) -> AsyncIterator[TemporalUi]:
    url = services.addresses.temporal_ui_url
    assert url is not None
    async with aiohttp.ClientSession() as http:
        yield TemporalUi(http, url)


@pytest.fixture
async def queue(time: WorkflowEnvironment, database: Database) -> AsyncIterator[str]:
    async with working(time.client, database) as name:
        yield name


async def shown_by(ui: TemporalUi, workflow: Handle) -> Rendered:
    return await ui.render(await details(workflow))


async def test_any_text_is_one_line_of_code_in_a_sentence_and_in_a_table(ui: TemporalUi) -> None:
    for text in [*HOSTILE, *(f"{MARK} {char} {char}{char}{char}{MARK}{char}" for char in map(chr, range(33, 127)))]:
        shown = quote(text)
        sentence = await ui.assert_is_text(f"close by {shown} ({shown}): nothing.")
        assert sentence.prose.strip() == "close by  (): nothing."
        assert sentence.code == 2 * shown.strip("`")
        cells = await ui.assert_is_text(f"| a | b |\n|---|---|\n| {shown} | x |\n\n2026: **{shown}**.")
        assert cells.prose.split() == ["a", "b", "x", "2026:", "."]
        assert cells.code == 2 * shown.strip("`")
        assert all(char.isprintable() for char in shown)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("", ""),
        ("ann", "ann"),
        ("T-1:a.b@c", "T-1:a.b@c"),
        ("T_1", "`T_1`"),
        (" A  book\n", "`A book`"),
        ("张三", "`张三`"),
        ("a`|\u202e", "`a\\u0060\\u007c\\u202e`"),
    ],
)
def test_a_plain_word_stays_as_it_is(text: str, shown: str) -> None:
    assert quote(text) == shown


def test_a_part_of_a_summary_is_cut_and_still_code() -> None:
    shown = quote("`拼团`" * 100, SUMMARY_PART)
    assert shown.startswith("`")
    assert shown.endswith("…`")
    assert len(shown.encode()) <= SUMMARY_PART + 5


async def test_seats_and_shutdowns(ui: TemporalUi) -> None:
    for text in HOSTILE:
        seat = Seat(user_id=text, status=OrderStatus.LOCKED, live=True, keep_until=None, version=1)
        rendered = await ui.assert_is_text(team_details(TeamState(seats={text: seat}), 3, []))
        assert rendered.prose.split()[-1] == "locked"
        await ui.assert_is_text(shutdown_details(ShutdownInput(campaign_id=1, operator=text, reason=text), NOTHING_DONE))


async def test_signals_to_a_team(time: WorkflowEnvironment, database: Database, queue: str, ui: TemporalUi) -> None:
    campaign, campaign_id, goods_id = await publish(database)
    for text in HOSTILE:
        team = Play(time.client, queue, campaign, campaign_id, goods_id)
        await team.open()
        await team.handle.signal("extend", {"minutes": 1, "operator": text})
        await team.handle.signal("refund", {"out_trade_no": text[:64], "operator": text})
        await team.handle.signal("resend_callbacks", {"operator": text})
        await team.handle.signal("complete", {"reason": text, "operator": text})
        await team.handle.signal("close", {text: text})
        await until(lambda: shown_by(ui, team.handle), lambda shown: shown.prose.count("UTC: ") == 5)  # noqa: B023
        await ui.assert_is_text(await team.details())
        await team.handle.signal("close", {"reason": text, "operator": text})
        assert await team.handle.result() == "failed"
        await ui.assert_is_text(await team.details())


async def test_a_veto_and_signals_to_a_refund(
    time: WorkflowEnvironment, database: Database, queue: str, ui: TemporalUi
) -> None:
    campaign, campaign_id, goods_id = await publish(database)
    async with listening(SECRET) as receiver:
        callback = Address(kind="http", address=receiver.callback()["url"])
        team = Play(time.client, queue, campaign, campaign_id, goods_id, callback=callback)
        await team.open()
        for buyer in (2, 3):
            await team.join(buyer)
        for buyer in (1, 2, 3):
            await team.pay(buyer)
        for attempt, text in enumerate(HOSTILE, 1):
            await _veto(team, receiver, attempt, text)
            rendered = await ui.assert_is_text(await details(team.refund_handle(1, attempt)))
            assert rendered.prose.rstrip().endswith("Note:")
        for attempt, text in enumerate(HOSTILE, len(HOSTILE) + 1):
            await _decide(team, receiver, attempt, text)
            rendered = await ui.assert_is_text(await details(team.refund_handle(1, attempt)))
            assert rendered.prose.count("UTC: ") == 2  # the question was dead, and the answer
        await team.handle.terminate()


async def _veto(team: Play, receiver: Receiver, attempt: int, detail: str) -> None:
    veto = {"code": "refund_rejected", "detail": detail}
    receiver.answer_to("order.refund_requested", web.json_response(veto, status=409))
    await team.refund(1, attempt=attempt)
    with pytest.raises(WorkflowFailureError):
        await team.refund_handle(1, attempt).result()


async def _decide(team: Play, receiver: Receiver, attempt: int, text: str) -> None:
    receiver.answer_to("order.refund_requested", web.Response(status=410))
    await team.refund(1, attempt=attempt)
    decision = {"approve": False, "operator": text, "note": text}
    await until_details(team.refund_handle(1, attempt), say="It waits for resend")
    await team.refund_handle(1, attempt).signal("decide", decision)
    with pytest.raises(WorkflowFailureError):
        await team.refund_handle(1, attempt).result()
