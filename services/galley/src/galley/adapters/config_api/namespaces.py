"""Namespaces: those that are always there, what comes with a new one, and what goes with an old one."""

from collections.abc import Sequence

from meshcore.distribution.keys import Key
from meshcore.errors import ErrorCode, MeshError
from meshcore.model.kinds import KINDS, by_plural

from galley.adapters.store import Store
from galley.core.kinds import all_rules
from galley.core.kube_api import status
from galley.core.storage import StoredObject, Verb, WriteOp

INFO = by_plural("", "namespaces")
ALWAYS = ("default", "istio-system", "kube-system")
_PER_CHANGE_SET = 1000
_SPEC = {"finalizers": ["kubernetes"]}


def key_of(namespace: str) -> Key:
    """The store's key of a Namespace object."""
    return Key("", "namespaces", "", namespace)


async def seed(store: Store) -> None:
    """Make the namespaces that are always there, each with its default service account."""
    for name in ALWAYS:
        try:
            await store.get(key_of(name))
        except MeshError as error:
            if error.code is not ErrorCode.NOT_FOUND:
                raise
            await _create(store, name)


async def _create(store: Store, name: str) -> None:
    document = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
    key = key_of(name)
    operation = WriteOp(Verb.CREATE, key, {**document, "spec": _SPEC}, {**document, "spec": _SPEC}, status=_ACTIVE)
    try:
        await store.write([operation, *companions(key)], "galley")
    except MeshError as error:
        if error.code is not ErrorCode.ALREADY_EXISTS:  # another replica starts at the same time
            raise


_ACTIVE = {"phase": "Active"}


def companions(key: Key) -> list[WriteOp]:
    """What is created together with an object: the `default` service account of a new namespace."""
    if (key.group, key.plural) != ("", "namespaces"):
        return []
    account = {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {"name": "default", "namespace": key.name},
    }
    return [WriteOp(Verb.CREATE, Key("", "serviceaccounts", key.name, "default"), account, account)]


def closed(error: MeshError, namespace: str) -> status.StatusError | None:
    """What to answer when it is the namespace of a new object that is not there (404) or going away (403)."""
    if error.code is ErrorCode.NOT_FOUND:
        return status.not_found(INFO, namespace)
    if error.code is not ErrorCode.PERMISSION_DENIED:
        return None
    why = f"unable to create new content in namespace {namespace} because it is being terminated"
    cause = {"reason": "NamespaceTerminating", "message": why, "field": "metadata.namespace"}
    return status.refused(INFO, namespace, why, [cause])


def check_deletable(namespace: str) -> None:
    """403 for the namespaces that the mesh cannot be without."""
    if namespace in ALWAYS:
        raise status.refused(INFO, namespace, "this namespace may not be deleted")


async def delete_with_content(store: Store, namespace: str, author: str, traceparent: str) -> None:
    """Delete everything in a namespace and the namespace itself: one change set, unless it is very large."""
    content = await _content(store, namespace)
    while len(content) >= _PER_CHANGE_SET:
        await store.write(_deletions(content[:_PER_CHANGE_SET]), author, traceparent)
        content = await _content(store, namespace)
    last = WriteOp(Verb.DELETE, key_of(namespace))
    await store.write([*_deletions(content), last], author, traceparent)
    if left := await _content(store, namespace):  # came in while the first list was read
        await store.write(_deletions(left), author, traceparent)


async def _content(store: Store, namespace: str) -> list[StoredObject]:
    found: list[StoredObject] = []
    for info in KINDS:
        if info.namespaced:
            found += (await store.list(info.group, info.plural, namespace)).items
    return found


def _deletions(content: Sequence[StoredObject]) -> list[WriteOp]:
    history = {(info.group, info.plural): all_rules()[(info.group, info.kind)].keeps_history for info in KINDS}
    return [
        WriteOp(Verb.DELETE, item.key, keeps_history=history[(item.key.group, item.key.plural)]) for item in content
    ]
