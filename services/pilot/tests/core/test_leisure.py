"""What nobody waits for is put off while there is something else to do, and not for ever."""

from pilot.core.leisure import Leisure


def test_work_waits_for_a_quiet_moment_and_no_longer_than_that():
    leisure = Leisure(longest=10)
    assert not leisure.comes(busy=True, now=100)
    assert leisure.comes(busy=False, now=101)
    assert not leisure.comes(busy=True, now=109)
    assert leisure.comes(busy=True, now=110)
    assert leisure.comes(busy=True, now=200), "it goes on until it is done"
    leisure.done()
    assert not leisure.comes(busy=True, now=201)
