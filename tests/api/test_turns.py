"""Turns: who had to wait knows it, and looks again at what was read before."""

import asyncio

from api.runtime.keyed_limit import KeyedLimit


async def test_who_comes_just_as_a_turn_goes_to_another_has_waited_too() -> None:
    turns = KeyedLimit[str](1)

    async def take() -> bool:
        async with turns.slot("a") as waited:
            return waited

    async with turns.slot("a") as first:
        second = asyncio.create_task(take())
        await asyncio.sleep(0)
    third = await take()
    assert (first, await second, third) == (False, True, True)
    assert await take() is False
