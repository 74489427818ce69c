from __future__ import annotations

from datetime import UTC, datetime

import pytest
from galley.core.storage import ChangeType, StoredChange, StoredObject
from meshcore.distribution.keys import Key

STORED = StoredObject(
    key=Key("", "services", "shop", "reviews"),
    object={"kind": "Service", "metadata": {"labels": {"a": "b"}}, "spec": {"written": True}},
    normalised={"kind": "Service", "metadata": {"labels": {"a": "b"}}, "spec": {"normalised": True}},
    uid="u",
    generation=3,
    creation_timestamp=datetime(2026, 3, 1, 12, 0, 5, 999, tzinfo=UTC),
    revision=9,
    config_revision=7,
    status={"phase": "Active"},
)


def test_the_api_sees_what_was_written_with_the_servers_metadata_and_status():
    document = StoredChange(ChangeType.MODIFIED, STORED, None).document
    assert document["metadata"] == {
        "labels": {"a": "b"},
        "name": "reviews",
        "namespace": "shop",
        "uid": "u",
        "generation": 3,
        "resourceVersion": "9",
        "creationTimestamp": "2026-03-01T12:00:05Z",
    }
    assert (document["spec"], document["status"]) == ({"written": True}, {"phase": "Active"})


def test_consumers_see_the_normalised_object_at_its_config_revision_without_status():
    document = STORED.normalised_document()
    assert document["metadata"]["resourceVersion"] == "7"
    assert document["spec"] == {"normalised": True}
    assert "status" not in document


def test_what_is_kept_cannot_be_changed_through_a_document():
    STORED.document()["metadata"]["labels2"] = {}
    assert "labels2" not in STORED.object["metadata"]


def test_an_unpublished_object_has_no_normalised_document():
    from dataclasses import replace

    with pytest.raises(ValueError, match="not published"):
        replace(STORED, normalised=None).normalised_document()
