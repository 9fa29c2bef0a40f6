"""Requests that ask while a read is under way share the next one."""

import asyncio
from collections.abc import Sequence

import pytest

from api.runtime.shared_reads import SharedReads


class Rows:
    """Answers with the double of each number, when it may."""

    def __init__(self) -> None:
        self.reads: list[list[int]] = []
        self.is_asked, self.may_answer = asyncio.Event(), asyncio.Event()

    async def double(self, numbers: Sequence[int]) -> list[int]:
        self.reads.append(list(numbers))
        self.is_asked.set()
        await self.may_answer.wait()
        if 0 in numbers:
            raise LookupError("nothing")
        return [number * 2 for number in numbers]


@pytest.fixture
def rows() -> Rows:
    return Rows()


async def test_those_who_ask_during_a_read_share_the_next_one(rows: Rows) -> None:
    reads = SharedReads(rows.double)
    first = asyncio.create_task(reads.get(1))
    await rows.is_asked.wait()
    others = [asyncio.create_task(reads.get(number)) for number in (2, 3, 4)]
    await asyncio.sleep(0)

    rows.may_answer.set()

    assert await asyncio.gather(first, *others) == [2, 4, 6, 8]
    assert rows.reads == [[1], [2, 3, 4]], "nobody is answered by a read that began before the question"
    assert await reads.get(5) == 10


async def test_who_has_gone_is_not_answered_and_holds_up_nobody(rows: Rows) -> None:
    reads = SharedReads(rows.double)
    gone, stays = (asyncio.create_task(reads.get(number)) for number in (1, 2))
    await rows.is_asked.wait()

    gone.cancel()
    rows.may_answer.set()

    assert await stays == 4
    assert gone.cancelled()


async def test_a_failure_is_of_those_who_asked_together(rows: Rows) -> None:
    reads = SharedReads(rows.double)
    rows.may_answer.set()
    failed = await asyncio.gather(reads.get(0), reads.get(1), return_exceptions=True)
    assert [type(each) for each in failed] == [LookupError, LookupError]
    assert await reads.get(1) == 2
