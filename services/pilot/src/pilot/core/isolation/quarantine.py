"""One resource of which clients refuse a part: which part it is, and the resource without it. Pure.

Parts that were taken before are innocent, and where the words of a refusal name one it is that one. Several that are
left are all held back first, so that the rest goes on; then they are let back in by halves until those are found that
are refused. What is held back stays so until its content changes.

A part that is held back has its last good form. Where none is known, or that is refused as well, it is shut; a virtual
host whose shut form is refused is left out. When all of that is refused the fault is in no part: the resource is
offered as it is once more, and the client keeps what it had.
"""

from dataclasses import dataclass, field
from enum import IntEnum

from meshcore.xds.origin import Origins
from meshcore.xds.resource import PackedResource
from meshcore.xds.types import ROUTE_TYPE

from pilot.core.isolation.parts import Part, closed, makers, meant, messages_of, parts_of, with_parts

MOST_ATTEMPTS = 40
"""Messages in search of the parts at fault; what is under suspicion after that is held back."""

_LONGEST_WORDS = 1000


class Form(IntEnum):
    """What stands in for a part, one after the other."""

    LAST_GOOD = 0
    SHUT = 1
    LEFT_OUT = 2


@dataclass(frozen=True, slots=True)
class HeldBack:
    """A part that clients refuse, their words, and what they have of it instead."""

    type_url: str
    resource: str
    part: str
    words: str
    form: Form
    configs: Origins
    """The objects that made the refused form."""


@dataclass
class Quarantine:
    """The search in one resource of one class of proxies."""

    good: dict[str, bytes]
    """By part that there is, the last form that a client has taken."""
    _words: dict[Part, str] = field(default_factory=dict)
    """What is held back, and why."""
    _groups: list[tuple[tuple[Part, ...], bool]] = field(default_factory=list)
    """What is held back for now; True: one of the group at least is refused."""
    _trial: tuple[Part, ...] = ()
    _rest: tuple[tuple[Part, ...], bool] = ((), False)
    """The parts that are let back in now, and the other half of their group."""
    _forms: dict[str, Form] = field(default_factory=dict)
    _refused: set[str] = field(default_factory=set)
    """Versions that were refused since the config changed."""
    _made: dict[str, frozenset[str]] = field(default_factory=dict)
    """Versions that were made here, and the parts that are not the compiled ones in them."""
    _compiled: PackedResource | None = None
    _attempts: int = 0
    _given_up: bool = False

    @property
    def active(self) -> bool:
        """Whether the class is given something else than was compiled."""
        return bool(self._words) and not self._given_up

    @property
    def suspects(self) -> bool:
        """Whether anything is held back, or was given up."""
        return bool(self._words) or self._given_up

    @property
    def guesses(self) -> bool:
        """Whether a part is held back of which no good form is known."""
        return self.active and any(part.key not in self.good for part in self._words)

    def held_back(self) -> tuple[HeldBack, ...]:
        """What the class has in another form than was compiled."""
        resource = self._compiled
        if resource is None or not self.active:
            return ()
        return tuple(
            HeldBack(
                resource.type_url,
                resource.name,
                part.key,
                words,
                self._form_of(resource, part),
                makers(resource, messages_of(resource, (part.key,))),
            )
            for part, words in sorted(self._words.items())
            if part not in self._trial
        )

    def applied(self, resource: PackedResource) -> PackedResource:
        """What the class is to have of the resource as it was compiled."""
        if self._compiled is None or self._compiled.version != resource.version:
            self._moved_on(resource)
        self._compiled = resource
        if not self.active:
            return resource
        blocked = [part for part in self._words if part not in self._trial]
        instead = {part.key: self._stand_in(resource, part) for part in blocked}
        made = with_parts(resource, instead) if instead else resource
        self._made[made.version] = frozenset(instead)
        return made

    def refused(self, resource: PackedResource, words: str, innocent: frozenset[Part] = frozenset()) -> bool:
        """A client refuses this version; True when the class is to have another. `innocent` parts were taken by one."""
        if resource.version in self._refused or self._given_up:
            return False
        self._refused.add(resource.version)
        self._attempts += 1
        ours = self._made.get(resource.version, frozenset())
        fresh = [
            part
            for part in parts_of(resource)
            if part.key not in ours and part not in innocent and self.good.get(part.key) != part.content
        ]
        found = [part for part in self._trial if part in fresh]
        if not found:
            named = frozenset(meant(words, resource) or meant(words, self._compiled or resource))
            found = [part for part in fresh if part.key in named]
            if not found and (not fresh or named & ours):
                return self._form_refused(named & ours or ours)
            found = found or fresh
        present = parts_of(self._compiled) if self._compiled is not None else ()
        found = [part for part in found if part in present]
        if not found:
            return False  # it was of a config that is past
        self._words.update(dict.fromkeys(found, words[:_LONGEST_WORDS]))
        self._groups.append((tuple(found), True))
        if self._trial:
            self._groups.append((self._rest[0], False))
            self._trial, self._rest = (), ((), False)
            self._next()
        return True

    def taken(self, resource: PackedResource) -> bool:
        """A client has taken this version; True when the class is to have another."""
        ours = self._made.get(resource.version, frozenset())
        self.good.update({part.key: part.content for part in parts_of(resource) if part.key not in ours})
        if self._compiled is not None and self._compiled.version == resource.version:
            self._words.clear()
            self._groups.clear()
            self._trial = ()
            return False
        if ours and ours == frozenset(part.key for part in self._words if part not in self._trial):
            for part in self._trial:
                self._words.pop(part, None)
            if self._rest[0]:
                self._groups.append(self._rest)
            self._trial, self._rest = (), ((), False)
            return self._next()
        return False

    def _next(self) -> bool:
        """Let the next group back in; False when there is none that has to be tried."""
        while self._groups:
            group, certain = self._groups.pop()
            group = tuple(part for part in group if part in self._words)
            if not group or (certain and len(group) == 1) or self._attempts >= MOST_ATTEMPTS:
                continue
            half = (len(group) + 1) // 2 if certain else len(group)
            self._trial, self._rest = group[:half], (group[half:], certain)
            return True
        return False

    def _moved_on(self, resource: PackedResource) -> None:
        """The config has changed: what is not in it any more is not held back, and what is new is tried."""
        present = set(parts_of(resource))
        self._words = {} if self._given_up else {p: words for p, words in self._words.items() if p in present}
        self._given_up, self._attempts = False, 0
        self._made.clear()
        self._refused.clear()
        there = {part.key for part in present}
        self.good = {key: form for key, form in self.good.items() if key in there}
        self._trial = tuple(part for part in self._trial if part in self._words)
        self._forms = {key: form for key, form in self._forms.items() if any(p.key == key for p in self._words)}
        if not self._trial and self._rest[0]:
            self._groups.append((self._rest[0], False))
            self._rest = ((), False)

    def _form_refused(self, keys: frozenset[str]) -> bool:
        """No part that is new is in what was refused: then it is the form of one that is held back, or no part."""
        resource = self._compiled
        last = Form.LEFT_OUT if resource is not None and resource.type_url == ROUTE_TYPE else Form.SHUT
        held = [part for part in self._words if part.key in keys]
        forms = {part.key: self._form_of(resource, part) for part in held} if resource is not None else {}
        least = min(forms.values(), default=last)
        if least >= last:
            self._given_up = True
            return True
        self._forms.update({key: Form(form + 1) for key, form in forms.items() if form == least})
        return True

    def _form_of(self, resource: PackedResource, part: Part) -> Form:
        form = self._forms.get(part.key, Form.LAST_GOOD)
        return Form.SHUT if form is Form.LAST_GOOD and part.key not in self.good else form

    def _stand_in(self, resource: PackedResource, part: Part) -> bytes | None:
        match self._form_of(resource, part):
            case Form.LAST_GOOD:
                return self.good[part.key]
            case Form.SHUT:
                return closed(resource, part)
            case _:
                return None
