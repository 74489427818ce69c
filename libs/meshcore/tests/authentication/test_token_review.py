import pytest
from meshcore.authentication.proven import TokenRefused, Way
from meshcore.authentication.token_review import identity_of_review, review_of

USER = {"username": "system:serviceaccount:shop:front", "groups": ["system:serviceaccounts", "system:authenticated"]}
GOOD = {"authenticated": True, "audiences": ["istio-ca"], "user": USER}


def test_a_service_account_that_the_server_knows_is_the_caller():
    caller = identity_of_review({"status": GOOD}, ["istio-ca"], "cluster.local")
    assert (str(caller.identity), caller.way) == ("spiffe://cluster.local/ns/shop/sa/front", Way.REVIEW)
    assert review_of("t", {"b", "a"})["spec"] == {"token": "t", "audiences": ["a", "b"]}


@pytest.mark.parametrize(
    "status",
    [
        None,
        [],
        {},
        GOOD | {"authenticated": False},
        GOOD | {"authenticated": "true"},
        GOOD | {"audiences": None},
        GOOD | {"audiences": []},
        GOOD | {"audiences": ["other"]},
        GOOD | {"audiences": [{}]},
        GOOD | {"user": None},
        GOOD | {"user": USER | {"groups": ["system:authenticated"]}},
        GOOD | {"user": USER | {"groups": None}},
        GOOD | {"user": USER | {"username": "admin"}},
        GOOD | {"user": USER | {"username": "system:serviceaccount:shop"}},
        GOOD | {"user": USER | {"username": "system:serviceaccount:shop:front:x"}},
        GOOD | {"user": USER | {"username": "system:serviceaccount::"}},
        GOOD | {"user": USER | {"username": 7}},
    ],
)
def test_anything_else_proves_nobody(status):
    with pytest.raises(TokenRefused):
        identity_of_review({"status": status}, ["istio-ca"], "cluster.local")
    with pytest.raises(TokenRefused):
        identity_of_review(status, ["istio-ca"], "cluster.local")
