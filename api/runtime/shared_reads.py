"""Reads that requests share: those that ask while a read is under way are answered by the next one, all together."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

Question = TypeVar("Question")
Answer = TypeVar("Answer")


class SharedReads(Generic[Question, Answer]):
    """A statement for one request costs several times as much as a request's share of a statement for many.

    Nobody is answered by a read that began before the question: an answer is as fresh as if it were read alone.
    """

    def __init__(self, read: Callable[[Sequence[Question]], Awaitable[Sequence[Answer]]]) -> None:
        """
        Args:
            read: answers several questions, in their order.
        """
        self._read = read
        self._waiting: list[tuple[Question, asyncio.Future[Answer]]] = []
        self._reading: asyncio.Task[None] | None = None

    async def get(self, question: Question) -> Answer:
        """Returns the answer, or raises what the read raised."""
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting.append((question, answer))
        if self._reading is None:
            self._reading = asyncio.create_task(self._read_until_all_are_answered())
        return await answer

    async def _read_until_all_are_answered(self) -> None:
        try:
            while self._waiting:
                asked, self._waiting = self._waiting, []
                await self._answer(asked)
        finally:
            self._reading = None

    async def _answer(self, asked: list[tuple[Question, asyncio.Future[Answer]]]) -> None:
        try:
            answers = await self._read([question for question, _ in asked])
        except Exception as error:  # noqa: BLE001 - whatever it is, those who asked must get it, or wait for ever
            for _, answer in asked:
                if not answer.done():
                    answer.set_exception(error)
            return
        for (_, answer), value in zip(asked, answers, strict=True):
            if not answer.done():  # whoever asked may have gone
                answer.set_result(value)
