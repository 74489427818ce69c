"""Asks analysis what a change would mean for the config that is stored now."""

import asyncio
from collections.abc import Sequence
from typing import Any

from meshcore.distribution.keys import Key
from meshcore.errors import MeshError
from meshcore.http import Caller, Role
from meshcore.model.kinds import KINDS

from galley.adapters.config_api.calls import Backend
from galley.adapters.store import Store
from galley.core.analysis.kinds import NAMESPACE
from galley.core.analysis.message import Message
from galley.core.storage import StoredObject
from galley.core.what_if import Alteration, WhatIf, warning_text, what_if


async def consequences(backend: Backend, caller: Caller, alterations: Sequence[Alteration]) -> WhatIf:
    """The messages about objects that the caller may see; analysis itself looks at everything."""
    async with backend.one_analysis:
        live = await _everything(backend.store)
        found = await asyncio.to_thread(what_if, live, alterations, backend.clock().timestamp())
    return WhatIf(
        tuple(message for message in found.messages if _may_see(caller, message)),
        tuple(message for message in found.resolved if _may_see(caller, message)),
    )


async def warnings(backend: Backend, caller: Caller, alterations: Sequence[Alteration]) -> list[str]:
    """The messages of a change as texts of warnings."""
    found = await consequences(backend, caller, alterations)
    return [warning_text(message) for message in found.messages]


async def _everything(store: Store) -> dict[Key, dict[str, Any]]:
    found = {}
    for info in KINDS:
        for item in (await store.list(info.group, info.plural)).items:
            found[item.key] = _whole(store, item).document()
    return found


def _whole(store: Store, item: StoredObject) -> StoredObject:
    """With the certificate of a Secret, which analysis looks at; without it where its key is not there."""
    try:
        return store.reveal(item)
    except MeshError:
        return item


def _may_see(caller: Caller, message: Message) -> bool:
    about = message.resource
    if about is None:
        return True
    home = about.name if about.kind == NAMESPACE else about.namespace
    return caller.allows(Role.VIEWER, home or None)
