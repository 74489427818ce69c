"""Brings a network namespace to the rules of a configuration, changes nothing where they are, and takes them away."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from meshcore.errors import ErrorCode, MeshError

from envoy_bootstrap.adapters.capture.host import only_one_here, owner_numbers
from envoy_bootstrap.adapters.capture.routes import add_routes, remove_routes
from envoy_bootstrap.adapters.capture.xtables import XTables, find_xtables
from envoy_bootstrap.core.capture.config import CaptureConfig
from envoy_bootstrap.core.capture.restore import applied, guarded, own_rules, removed, restored, unguarded
from envoy_bootstrap.core.capture.rules import Rule, capture_rules
from envoy_bootstrap.core.capture.saved_rules import Difference, Ours, SavedTable, differences

Say = Callable[[str], None]


@dataclass(slots=True)
class _Side:
    """One family: its programs, what should be there and what was there first."""

    tools: XTables
    rules: Sequence[Rule]
    ours: Ours
    before: Mapping[str, SavedTable]
    differences: tuple[Difference, ...]

    def reasons(self, *, only_stale: bool = False) -> list[str]:
        """What is otherwise than it should be; `only_stale` leaves out tables that have nothing of ours yet."""
        wrong = [part for part in self.differences if not (only_stale and part.is_absent)]
        return [f"IPv{self.tools.version} {reason}" for part in wrong for reason in part.reasons]


class TrafficCapture:
    """The rules of one configuration in this network namespace."""

    def __init__(self, config: CaptureConfig, say: Say, force_binary: str = "") -> None:
        self._config, self._say, self._force_binary = config, say, force_binary

    def missing(self) -> list[str]:
        """What is otherwise than it should be; nothing when the rules are in force. Changes nothing."""
        return [reason for side in self._sides() for reason in side.reasons()]

    def apply(self, *, reconcile: bool = False, force: bool = False) -> bool:
        """Whether anything was changed. Tables without our rules get them; one with other rules needs `reconcile`.

        FAILED_PRECONDITION, with nothing changed, names the first thing that is wrong.
        """
        with only_one_here():
            return self._apply(reconcile=reconcile, force=force)

    def _apply(self, *, reconcile: bool, force: bool) -> bool:
        self._remove_left_guards()
        sides = self._sides()
        is_wrong = any(side.reasons() for side in sides)
        stale = [reason for side in sides for reason in side.reasons(only_stale=True)]
        if stale and not (reconcile or force):
            detail = f"rules are here that differ, and --reconcile is not given to replace them: {'; '.join(stale)}"
            raise MeshError(ErrorCode.FAILED_PRECONDITION, detail)
        # rules that lead to a route that is not there lead nowhere
        add_routes(self._config)
        if not is_wrong and not force:
            self._say("nothing to do: the rules are in force")
            return False
        self._replace(sides, force=force, is_guarded=bool(stale))
        self._say("the rules are in force")
        return True

    def remove(self) -> None:
        """Take our rules, routes and addresses away."""
        with only_one_here():
            for side in self._sides():
                side.tools.apply(removed(side.before, side.ours))
            remove_routes(self._config)
        self._say("the rules are gone")

    def _sides(self) -> list[_Side]:
        config = self._config
        groups = (*config.proxy_gids, *(config.owner_groups or ()), *config.excluded_owner_groups)
        owners = owner_numbers(config.proxy_uids, groups)
        sides = []
        for version in config.families:
            tools = find_xtables(version, self._force_binary)
            saved = tools.saved()
            rules = capture_rules(config, version)
            ours = Ours(own_rules(config, version), owners)
            sides.append(_Side(tools, rules, ours, saved, differences(rules, saved, ours, owners)))
        return sides

    def _remove_left_guards(self) -> None:
        """A run that was killed while it replaced rules has left them."""
        for version in self._config.families:
            tools = find_xtables(version, self._force_binary)
            tools.apply(unguarded(tools.saved()))

    def _replace(self, sides: Sequence[_Side], *, force: bool, is_guarded: bool) -> None:
        try:
            if is_guarded:
                for side in sides:
                    side.tools.apply(guarded())
            for side in sides:
                tables = [part.table for part in side.differences if part.reasons or force]
                side.tools.apply(applied(side.rules, tables, side.before, side.ours))
        except MeshError:
            for side in sides:
                side.tools.apply(restored(side.before, side.tools.saved(), side.ours))
            raise
        finally:
            if is_guarded:
                for side in sides:
                    side.tools.apply(unguarded(side.tools.saved()))
