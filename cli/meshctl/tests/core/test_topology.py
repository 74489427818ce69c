import pytest
from meshctl.core.layout import Layout
from meshctl.core.topology import Stack, pilot_name


def test_each_part_has_its_own_address() -> None:
    stack = Stack(3)
    addresses = [stack.galley, stack.pilot(), stack.pilot(2), stack.citadel, stack.injector, stack.nats]
    assert addresses == [f"127.3.255.{host}" for host in (1, 2, 12, 3, 4, 5)]
    assert (stack.proxy(7), stack.application(7)) == ("127.3.0.7", "127.3.1.7")
    assert (pilot_name(1), pilot_name(2)) == ("pilot", "pilot-2")


@pytest.mark.parametrize("number", [0, 64, 255, -1])
def test_stacks_stay_in_their_range(number: int) -> None:
    with pytest.raises(ValueError, match="stack must be"):
        Stack(number)


def test_workload_numbers_stay_in_their_range() -> None:
    with pytest.raises(ValueError, match="254 workloads"):
        Stack(1).proxy(255)


def test_a_deep_state_directory_is_too_long_for_sockets() -> None:
    assert not Layout("/home/somebody/.local/state/meshcore/stack-1").too_long_for_sockets()
    assert Layout("/" + "x" * 90).too_long_for_sockets()
