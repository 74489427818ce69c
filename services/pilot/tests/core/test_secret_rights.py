"""Who may have Secrets where a Kubernetes API says so."""

import pytest
from pilot.core.secret_rights import ALLOWED_FOR, DENIED_FOR, SecretRights, allowed_by, review_of

EDGE, SHOP = ("edge", "ingress"), ("shop", "front")
PAIR, ROOT, MAP = "kubernetes://cert", "kubernetes://cert-cacert", "configmap://shop/roots"
NAMES = frozenset({PAIR, ROOT, MAP})


def test_without_an_api_server_nobody_is_asked_about():
    rights = SecretRights()
    assert rights.names_for(EDGE, NAMES) == NAMES
    assert rights.due([EDGE], 0) == []


def test_roots_need_no_right_and_key_pairs_do():
    rights = SecretRights(guarded=True)
    assert rights.names_for(EDGE, NAMES) == {ROOT, MAP}, "nobody has said yes"
    assert rights.due([EDGE, SHOP, EDGE], 0) == [EDGE, SHOP]
    assert rights.take(EDGE, True, 0)
    assert not rights.take(SHOP, False, 0), "it was not allowed before either"
    assert rights.names_for(EDGE, NAMES) == NAMES
    assert rights.names_for(SHOP, NAMES) == {ROOT, MAP}


def test_it_is_asked_again_after_a_while():
    rights = SecretRights(guarded=True)
    rights.take(EDGE, True, 0)
    rights.take(SHOP, False, 0)
    assert (ALLOWED_FOR, DENIED_FOR) == (300, 60)
    assert rights.due([EDGE, SHOP], 59) == []
    assert rights.next_due([EDGE, SHOP]) == 60
    assert rights.due([EDGE, SHOP], 60) == [SHOP]
    assert rights.due([EDGE, SHOP], 300) == [EDGE, SHOP]
    rights.postpone(EDGE, 300)
    assert rights.due([EDGE], 301) == []
    assert rights.names_for(EDGE, NAMES) == NAMES, "a server that is away has decided nothing"
    assert rights.take(EDGE, False, 360)
    rights.forget([SHOP], 361)
    assert rights.next_due([EDGE]) == 420, "what holds is kept"
    rights.forget([SHOP], 421)
    assert rights.next_due([EDGE]) is None


@pytest.mark.parametrize(
    ("answer", "allowed"),
    [
        ({"status": {"allowed": True}}, True),
        ({"status": {"allowed": False}}, False),
        ({"status": {"allowed": True, "denied": True}}, False),
        ({"status": {"allowed": "true"}}, None),
        ({"status": {}}, None),
        ({"kind": "Status"}, None),
        ([], None),
        (None, None),
    ],
)
def test_what_an_answer_says(answer, allowed):
    assert allowed_by(answer) is allowed
    assert review_of(EDGE)["spec"] == {
        "user": "system:serviceaccount:edge:ingress",
        "resourceAttributes": {"namespace": "edge", "verb": "list", "resource": "secrets"},
    }
