from __future__ import annotations

from datetime import UTC, datetime

import pytest
from galley.core.change_set import decide
from galley.core.storage import ChangeType, StoredObject, Verb, WriteOp
from meshcore.distribution.keys import Key
from meshcore.errors import ErrorCode, MeshError

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
KEY = Key("networking.istio.io", "virtualservices", "default", "reviews")
NAMESPACE = Key("", "namespaces", "", "default")


def document(spec: object = 1, **metadata: object) -> dict:
    return {"apiVersion": "networking.istio.io/v1", "kind": "VirtualService", "metadata": metadata, "spec": spec}


def run(*operations: WriteOp, current: dict[Key, StoredObject] | None = None, revision: int = 7):
    return decide(operations, current or {}, revision, NOW, lambda: "uid-1")


def stored(**changes: object) -> StoredObject:
    (effect,) = run(WriteOp(Verb.CREATE, KEY, document(labels={"a": "b"}), {"spec": 1}), revision=5)
    assert effect.after is not None
    return effect.after


def test_a_create_gets_uid_time_generation_and_revision():
    written = document(uid="mine", resourceVersion="9", generation=4, creationTimestamp=None) | {"status": {"x": 1}}
    (effect,) = run(WriteOp(Verb.CREATE, KEY, written, {"spec": 1}))
    assert effect.type is ChangeType.ADDED
    assert effect.result.document() == {
        "apiVersion": "networking.istio.io/v1",
        "kind": "VirtualService",
        "metadata": {
            "name": "reviews",
            "namespace": "default",
            "uid": "uid-1",
            "generation": 1,
            "resourceVersion": "7",
            "creationTimestamp": "2026-03-01T12:00:00Z",
        },
        "spec": 1,
    }


def test_generation_moves_only_with_what_is_outside_metadata_and_status():
    before = stored()
    (labelled,) = run(WriteOp(Verb.UPDATE, KEY, document(labels={"a": "c"}), {"spec": 1}), current={KEY: before})
    assert (labelled.result.generation, labelled.result.revision, labelled.is_config) == (1, 7, True)
    (changed,) = run(WriteOp(Verb.UPDATE, KEY, document(2), {"spec": 2}), current={KEY: before})
    assert (changed.result.generation, changed.result.config_revision) == (2, 7)
    assert changed.result.uid == before.uid


def test_of_a_services_status_its_load_balancer_is_published():
    key, reached = Key("", "services", "default", "gateway"), {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}}
    (made,) = run(WriteOp(Verb.CREATE, key, document(), {"spec": 1}), revision=5)
    (told,) = run(WriteOp(Verb.STATUS, key, status=reached | {"conditions": []}), current={key: made.result})
    assert (told.is_config, told.keeps_history, told.result.generation) == (True, False, 1)
    published = told.result.normalised_document()
    assert (published["status"], published["metadata"]["resourceVersion"]) == (reached, "7")
    (other,) = run(WriteOp(Verb.STATUS, key, status=reached), current={key: told.result}, revision=8)
    assert (other.is_config, other.result.config_revision) == (False, 7)
    (updated,) = run(WriteOp(Verb.UPDATE, key, document(2), {"spec": 2}), current={key: other.result}, revision=9)
    assert updated.result.normalised_document()["status"] == reached
    (gone,) = run(WriteOp(Verb.STATUS, key, status=None), current={key: updated.result}, revision=10)
    assert gone.is_config
    assert "status" not in gone.result.normalised_document()


def test_an_update_that_changes_nothing_is_no_change():
    before = stored()
    (effect,) = run(WriteOp(Verb.UPDATE, KEY, document(labels={"a": "b"}), {"spec": 1}), current={KEY: before})
    assert effect.type is None
    assert effect.result == before


def test_status_moves_the_revision_but_neither_generation_nor_config():
    before = stored()
    (effect,) = run(WriteOp(Verb.STATUS, KEY, status={"ok": True}), current={KEY: before})
    assert (effect.type, effect.is_config, effect.keeps_history) == (ChangeType.MODIFIED, False, False)
    assert (effect.result.revision, effect.result.config_revision, effect.result.generation) == (7, 5, 1)
    assert effect.result.document()["status"] == {"ok": True}
    (again,) = run(WriteOp(Verb.STATUS, KEY, status={"ok": True}), current={KEY: effect.result}, revision=8)
    assert again.type is None
    (updated,) = run(WriteOp(Verb.UPDATE, KEY, document(3), {"spec": 3}), current={KEY: effect.result}, revision=9)
    assert updated.result.status == {"ok": True}


@pytest.mark.parametrize(
    ("operation", "code"),
    [
        (WriteOp(Verb.CREATE, KEY, document()), ErrorCode.ALREADY_EXISTS),
        (WriteOp(Verb.UPDATE, KEY, document(2), resource_version="4"), ErrorCode.CONFLICT),
        (WriteOp(Verb.UPDATE, KEY, document(2), resource_version="x"), ErrorCode.CONFLICT),
        (WriteOp(Verb.DELETE, KEY, uid="another"), ErrorCode.CONFLICT),
        (WriteOp(Verb.DELETE, KEY._replace(name="other")), ErrorCode.NOT_FOUND),
        (WriteOp(Verb.STATUS, KEY, status={}, resource_version="1"), ErrorCode.CONFLICT),
        (WriteOp(Verb.CREATE, KEY._replace(name="new"), document(), requires=NAMESPACE), ErrorCode.NOT_FOUND),
    ],
)
def test_what_cannot_be_done_says_why(operation: WriteOp, code: ErrorCode):
    with pytest.raises(MeshError) as raised:
        run(operation, current={KEY: stored()})
    assert raised.value.code is code


def test_the_words_of_a_conflict_are_the_api_servers():
    with pytest.raises(MeshError, match="has been modified") as raised:
        run(WriteOp(Verb.UPDATE, KEY, document(2), resource_version="4"), current={KEY: stored()})
    assert raised.value.detail == (
        'Operation cannot be fulfilled on virtualservices.networking.istio.io "reviews": the object has been modified; '
        "please apply your changes to the latest version and try again"
    )


def test_one_bad_operation_fails_the_whole_change_set_and_nothing_is_named_twice():
    good = WriteOp(Verb.CREATE, KEY._replace(name="new"), document())
    with pytest.raises(MeshError):
        run(good, WriteOp(Verb.DELETE, KEY))
    with pytest.raises(MeshError, match="named twice"):
        run(good, good)


def test_what_the_same_change_set_creates_satisfies_a_requirement():
    namespace = WriteOp(Verb.CREATE, NAMESPACE, {"kind": "Namespace"}, {})
    effects = run(namespace, WriteOp(Verb.CREATE, KEY, document(), requires=NAMESPACE))
    assert len(effects) == 2


def test_an_unpublished_kind_is_not_config():
    (effect,) = run(WriteOp(Verb.CREATE, Key("", "secrets", "default", "s"), {"data": {}}))
    assert not effect.is_config


def test_nothing_new_comes_into_a_namespace_that_is_going_away():
    create = WriteOp(Verb.CREATE, KEY, document(), {"spec": 1}, requires=NAMESPACE)
    going = {"kind": "Namespace", "metadata": {"deletionTimestamp": "2026-03-01T12:00:00Z"}}
    namespace = StoredObject(NAMESPACE, going, going, "uid-0", 1, NOW, 1, 1)
    with pytest.raises(MeshError) as raised:
        run(create, current={NAMESPACE: namespace})
    assert raised.value.code is ErrorCode.PERMISSION_DENIED
