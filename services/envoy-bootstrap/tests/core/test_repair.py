"""Pods without capture: which they are, and what is to be done about them."""

import pytest
from envoy_bootstrap.core.capture.repair import Remedy, is_broken, is_labelled, parse_repair
from meshcore.errors import MeshError

FAILED = {"terminated": {"exitCode": 126, "reason": "Error", "message": "not captured\n"}}
WAITING = {"waiting": {"reason": "CrashLoopBackOff"}}


def pod(name="istio-validation", state=WAITING, last=FAILED, node="here", annotation="sidecar.istio.io/status"):
    return {
        "metadata": {"annotations": {annotation: "{}"}, "labels": None},
        "spec": {"nodeName": node},
        "status": {"initContainerStatuses": [{"name": "other"}, {"name": name, "state": state, "lastState": last}]},
    }


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (pod(), True),
        (pod(state=FAILED), True),
        (pod(state=FAILED, last=None), False),
        (pod(name="migrate"), False),
        (pod(node="there"), False),
        (pod(annotation="other"), False),
        (pod(last={"terminated": {"exitCode": 1}}), False),
        # it has come through since
        (pod(state={"terminated": {"exitCode": 0, "reason": "Completed"}}), False),
        ({"metadata": None}, False),
    ],
)
def test_a_pod_is_broken_when_its_first_container_fails_for_want_of_capture(found, expected):
    assert is_broken(found, parse_repair({"REPAIR_NODE_NAME": "here"})) is expected


def test_how_broken_pods_are_known_can_be_said():
    told = {"REPAIR_INIT_CONTAINER_EXIT_CODE": "0", "REPAIR_INIT_CONTAINER_TERMINATION_MESSAGE": " not captured "}
    assert is_broken(pod(), parse_repair(told))
    assert not is_broken(pod(), parse_repair(told | {"REPAIR_INIT_CONTAINER_TERMINATION_MESSAGE": "else"}))
    config = parse_repair({"REPAIR_BROKEN_POD_LABEL_KEY": "a/b"})
    assert is_labelled({"metadata": {"labels": {"a/b": ""}}}, config)
    assert not is_labelled(pod(), config)


@pytest.mark.parametrize(
    ("environment", "remedy"),
    [
        ({}, Remedy.NONE),
        ({"REPAIR_LABEL_PODS": "true"}, Remedy.LABEL),
        ({"REPAIR_LABEL_PODS": "true", "REPAIR_DELETE_PODS": "true"}, Remedy.DELETE),
        ({"REPAIR_REPAIR_PODS": "true", "REPAIR_DELETE_PODS": "true"}, Remedy.REPAIR),
        ({"REPAIR_REPAIR_PODS": "true", "REPAIR_ENABLED": "false"}, Remedy.NONE),
    ],
)
def test_of_several_remedies_the_mildest_for_the_pod_counts(environment, remedy):
    assert parse_repair(environment).remedy is remedy


def test_what_is_wrong_is_named():
    told = {
        "REPAIR_BROKEN_POD_LABEL_KEY": "no key",
        "REPAIR_INIT_CONTAINER_EXIT_CODE": "x",
        "REPAIR_ENABLED": "perhaps",
    }
    with pytest.raises(MeshError) as raised:
        parse_repair(told)
    assert [violation.field for violation in raised.value.violations] == [
        "REPAIR_BROKEN_POD_LABEL[no key]",
        "REPAIR_ENABLED",
        "REPAIR_INIT_CONTAINER_EXIT_CODE",
    ]
