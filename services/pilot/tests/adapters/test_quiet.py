"""What is to be done in quiet is done once, and not before it is quiet."""

import asyncio

from pilot.adapters.quiet import Quiet


async def test_it_is_done_once_nothing_goes_on_and_again_when_something_has_stirred():
    done, going = asyncio.Event(), [True]
    rung = []

    def is_going_on():
        rung.append(None)
        return going[0]

    quiet = Quiet(0.01, is_going_on, done.set)
    quiet.stirred()
    quiet.stirred()
    async with asyncio.timeout(60):
        while len(rung) < 3:  # noqa: ASYNC110 - the event that is waited for must not come
            await asyncio.sleep(0.001)
        assert not done.is_set()
        going[0] = False
        await done.wait()
        asked = len(rung)
        done.clear()
        quiet.stirred()
        await done.wait()
    assert len(rung) == asked + 1
