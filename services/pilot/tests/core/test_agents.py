"""Agents are left alone by what changes nothing that they have."""

from dataclasses import replace
from datetime import UTC, datetime

from drawn_changes import NODES, STEPS, changes_of, classes_that_stay, moves
from hypothesis import given, settings
from meshcore.distribution.events import ChangeSet, FullState
from meshcore.xds import delta
from pilot.core.agents import concerns_agents
from pilot.core.compiler import compile_resources
from pilot.core.compiler.envoy_filter.bootstrap import with_bootstrap
from pilot.core.compiler.refresh import endpoints_alone_differ
from pilot.core.debounce import Debounce
from pilot.core.engine import Engine
from pilot.core.impact import affected_types, affects
from pilot.core.name_table import NameTables
from pilot.core.node import parse_node

NOW = datetime(2026, 1, 1, tzinfo=UTC)
AGENTS = [replace(parse_node(node), generator="agent") for node in NODES]


def own(snapshot, agent):
    made = with_bootstrap(NameTables().of(snapshot, agent), snapshot, agent)
    return {(kind, name): one.version for kind, named in made.resources.items() for name, one in named.items()}


@settings(max_examples=100)
@given(STEPS)
def test_what_is_said_to_concern_no_agent_changes_nothing_that_one_has(steps):
    for change, before, after in moves(steps):
        alone = endpoints_alone_differ(before, after)
        if not concerns_agents([change], before, after, endpoints_alone=alone):
            for agent in AGENTS:
                assert own(before, agent) == own(after, agent)


@settings(max_examples=60)
@given(STEPS)
def test_types_outside_of_a_kinds_row_keep_their_resources(steps):
    for change, before, after in moves(steps):
        for one in classes_that_stay(NODES, before, after):
            was, now = compile_resources(before, one), compile_resources(after, one)
            for kind in (was.resources.keys() | now.resources.keys()) - affected_types(change):
                assert was.of_type(kind) == now.of_type(kind)


def test_an_agent_is_pushed_what_it_has_something_of_and_nothing_else():
    engine = Engine(compile_resources, affects, Debounce(0.1, 10))
    engine.take_state(FullState("s", 0, "", {}), 0.0)
    agents = [engine.connect(agent, delta, "", 0.0).number for agent in AGENTS]
    engine.release_pushes()
    steps = [
        ("Service", "shop", "a", 4),
        ("EndpointSlice", "shop", "x", 3),
        ("VirtualService", "shop", "a", 1),
        ("EndpointSlice", "shop", "x", 9),
        ("AuthorizationPolicy", "shop", "a", 0),
    ]
    pushed = []
    for revision, change in enumerate(changes_of(steps), start=1):
        engine.take_changes(ChangeSet("s", revision, revision - 1, "", NOW, (change,)), 0.0)
        pushed.append({*engine.release_endpoints(), *engine.release_pushes()} & {*agents})
        for number in agents:
            engine.take_push(engine.streams[number])
    assert pushed == [{*agents}, set(), set(), set(), set()]
