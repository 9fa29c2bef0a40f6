"""The mall accepts what the platform has signed, once, and nothing else."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from mall.http_receiver import MAX_BODY
from tests.mall.conftest import SECRET, Mall, StartMall, event, signed

OTHER_SECRET = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
COMPLETED = event("team.completed", 7, team_id="t1", completion="target", out_trade_nos=["a", "b"])


async def test_a_signed_callback_is_stored_and_listed(mall: Mall) -> None:
    answer = await mall.send("evt_1", COMPLETED)

    assert (answer.status, answer.body) == (200, {"event_id": "evt_1", "duplicate": False})
    [callback] = (await mall.get("/callbacks", team_id="t1"))["data"]
    assert datetime.fromisoformat(callback.pop("received_at")).tzinfo is not None
    assert callback == {
        "event_id": "evt_1",
        "type": "team.completed",
        "sequence": 7,
        "timestamp": "2026-03-01T12:00:00Z",
        "data": {"team_id": "t1", "completion": "target", "out_trade_nos": ["a", "b"]},
        "times_received": 1,
    }


async def test_a_repeat_is_answered_and_counted_but_stored_once(mall: Mall) -> None:
    await mall.send("evt_1", COMPLETED)
    answer = await mall.send("evt_1", COMPLETED)

    assert (answer.status, answer.body["duplicate"]) == (200, True)
    [callback] = (await mall.get("/callbacks"))["data"]
    assert callback["times_received"] == 2


async def test_callbacks_are_listed_newest_first_and_by_team(mall: Mall) -> None:
    await mall.send("evt_2", event("order.cancelled", 2, team_id="t1", out_trade_no="a"))
    await mall.send("evt_1", event("order.cancelled", 1, team_id="t2", out_trade_no="b"))
    await mall.send("evt_3", event("order.reseated", 3, team_id="t1", out_trade_no="a"))

    assert [c["event_id"] for c in (await mall.get("/callbacks"))["data"]] == ["evt_3", "evt_1", "evt_2"]
    assert [c["event_id"] for c in (await mall.get("/callbacks", team_id="t1"))["data"]] == ["evt_3", "evt_2"]
    assert [c["event_id"] for c in (await mall.get("/callbacks", limit="1"))["data"]] == ["evt_3"]
    assert (await mall.get("/callbacks", team_id="t3"))["data"] == []


async def _assert_refused(mall: Mall, body: bytes, headers: dict[str, str]) -> None:
    assert (await mall.post(body, headers)).status == 401
    assert (await mall.get("/callbacks"))["data"] == []


async def test_another_secret_is_refused(mall: Mall) -> None:
    await _assert_refused(mall, COMPLETED, signed("evt_1", COMPLETED, secret=OTHER_SECRET))


async def test_a_changed_body_is_refused(mall: Mall) -> None:
    await _assert_refused(mall, COMPLETED.replace(b'"b"', b'"c"'), signed("evt_1", COMPLETED))


async def test_another_id_is_refused(mall: Mall) -> None:
    await _assert_refused(mall, COMPLETED, signed("evt_1", COMPLETED) | {"webhook-id": "evt_2"})


@pytest.mark.parametrize("minutes", [-6, 6], ids=["old", "future"])
async def test_a_timestamp_out_of_tolerance_is_refused(mall: Mall, minutes: int) -> None:
    at = datetime.now(UTC) + timedelta(minutes=minutes)
    await _assert_refused(mall, COMPLETED, signed("evt_1", COMPLETED, at=at))


@pytest.mark.parametrize("header", ["webhook-id", "webhook-timestamp", "webhook-signature"])
@pytest.mark.parametrize("value", [None, "nonsense", "v1,%"])
async def test_missing_and_malformed_headers_are_refused(mall: Mall, header: str, value: str | None) -> None:
    headers = signed("evt_1", COMPLETED)
    if value is None:
        del headers[header]
    else:
        headers[header] = value
    await _assert_refused(mall, COMPLETED, headers)


async def test_a_body_that_is_not_utf8_is_refused(mall: Mall) -> None:
    await _assert_refused(mall, b"\xff", signed("evt_1", b""))


async def test_both_secrets_are_valid_during_a_rotation(start_mall: StartMall) -> None:
    async with start_mall(f"{OTHER_SECRET} {SECRET}") as mall:
        for number, secret in enumerate([SECRET, OTHER_SECRET]):
            body = event("order.cancelled", number, out_trade_no="a")
            assert (await mall.post(body, signed(f"evt_{number}", body, secret=secret))).status == 200


async def test_one_of_two_signatures_is_enough(mall: Mall) -> None:
    headers = signed("evt_1", COMPLETED)
    other = signed("evt_1", COMPLETED, secret=OTHER_SECRET)["webhook-signature"]
    headers["webhook-signature"] = f"{other} {headers['webhook-signature']}"
    assert (await mall.post(COMPLETED, headers)).status == 200


@pytest.mark.parametrize("body", [b"", b"[]", b'{"type": "team.completed"}', event("team.completed", -1)])
async def test_a_signed_body_that_is_not_an_event_is_refused(mall: Mall, body: bytes) -> None:
    assert (await mall.send("evt_1", body)).status == 422
    assert (await mall.get("/callbacks"))["data"] == []


async def test_an_event_of_unknown_type_is_stored_and_changes_no_order(mall: Mall) -> None:
    assert (await mall.send("evt_1", event("order.teleported", 1, out_trade_no="a", to={"x": 1.5}))).status == 200
    [callback] = (await mall.get("/callbacks"))["data"]
    assert callback["data"] == {"out_trade_no": "a", "to": {"x": 1.5}}
    assert await mall.to_do() == {}


async def test_the_body_is_bounded(mall: Mall) -> None:
    def padded(size: int) -> bytes:
        body = event("order.cancelled", 1, note="")
        return body.replace(b'"note": ""', b'"note": "' + b"x" * (size - len(body)) + b'"')

    assert (await mall.send("evt_1", padded(MAX_BODY))).status == 200
    assert (await mall.send("evt_2", padded(MAX_BODY + 1))).status == 413


async def test_the_body_is_bounded_without_a_declared_length(mall: Mall) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(17):
            yield b" " * (MAX_BODY // 16)

    assert (await mall.post(chunks(), signed("evt_1", COMPLETED))).status == 413


async def test_deduplication_survives_a_restart(start_mall: StartMall) -> None:
    async with start_mall() as mall:
        await mall.send("evt_1", COMPLETED)
    async with start_mall() as mall:
        assert (await mall.send("evt_1", COMPLETED)).body["duplicate"] is True
        [callback] = (await mall.get("/callbacks"))["data"]
        assert callback["times_received"] == 2
        assert await mall.to_do() == {"a": "ship", "b": "ship"}


async def test_healthz(mall: Mall) -> None:
    assert await mall.get("/healthz") == {"status": "ok"}
