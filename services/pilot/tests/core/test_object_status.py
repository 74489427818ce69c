"""What the status of an object says, and when it is written."""

from meshcore.xds.origin import ConfigRef
from pilot.core.object_status import MOST_LINES, MOST_OBJECTS, messages_of, writes

ROUTES = ConfigRef("VirtualService", "shop", "reviews")


def row(config="VirtualService/shop/reviews@7", message="bad", count=1, proxies=("a.shop",), resources=("80",)):
    return {
        "config": config,
        "type": "rds",
        "message": message,
        "count": count,
        "proxies": list(proxies),
        "resources": list(resources),
    }


def test_one_message_for_each_object_whatever_its_revision_and_whoever_tells():
    told = messages_of(
        [
            row(count=120, proxies=("a.shop", "b.shop")),
            row(config="VirtualService/shop/reviews@8", count=80, proxies=("c.shop", "d.shop")),
            row(config="EnvoyFilter/shop/tweak@3", message="worse"),
            row(config="Service/shop/reviews@2"),
            row(config="ConfigMap/istio-system/istio@2"),
        ]
    )
    assert told == {
        ROUTES: "a.shop, b.shop, c.shop and 197 more refuse rds 80: bad",
        ConfigRef("EnvoyFilter", "shop", "tweak"): "a.shop refuse rds 80: worse",
    }


def test_what_is_told_is_bounded():
    many = [row(message=f"m{number:02}") for number in range(MOST_LINES + 2)]
    [text] = messages_of(many).values()
    assert text.endswith("; and 2 more refusals")
    crowd = [row(config=f"VirtualService/shop/v{number:04}") for number in range(MOST_OBJECTS + 5)]
    assert len(messages_of(crowd)) == MOST_OBJECTS


def test_written_on_change_only_and_cleared_when_everybody_has_answered():
    other = ConfigRef("VirtualService", "shop", "other")
    assert [one.config for one in writes({ROUTES: "bad"}, {}, whole=True)] == [ROUTES]
    assert writes({ROUTES: "bad"}, {ROUTES: "bad"}, whole=True) == ()
    assert [one.message for one in writes({ROUTES: "worse"}, {ROUTES: "bad"}, whole=True)] == ["worse"]
    assert [(one.config, one.message) for one in writes({}, {ROUTES: "bad", other: "x"}, whole=True)] == [
        (other, ""),
        (ROUTES, ""),
    ]
    assert writes({}, {ROUTES: "bad"}, whole=False) == ()


def test_the_document_is_the_conditions_alone():
    [said] = writes({ROUTES: "bad"}, {}, whole=True)
    assert said.path == "/apis/networking.istio.io/v1/namespaces/shop/virtualservices/reviews/status"
    body = said.body("2026-01-01T00:00:00Z")
    assert body.keys() == {"status"}
    assert body["status"].keys() == {"conditions"}, "what else a status says is somebody else's"
    assert body["status"]["conditions"] == [
        {
            "type": "Programmed",
            "status": "False",
            "reason": "RefusedByProxies",
            "message": "bad",
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        }
    ]
    [cleared] = writes({}, {ROUTES: "bad"}, whole=True)
    assert cleared.body("2026-01-01T00:00:00Z") == {"status": {"conditions": None}}


def test_keys_that_are_not_fetched_are_told_with_their_own_reason_behind_what_proxies_refuse():
    policy = ConfigRef("RequestAuthentication", "shop", "tokens")
    keys = row(
        config=str(policy), message="status 404; its tokens are refused", count=0, proxies=(), resources=("bank",)
    )
    refused = row(config=str(policy))
    [alone] = writes(messages_of([{**keys, "type": "keys"}, {**keys, "type": "keys"}]), {}, whole=True)
    assert alone.message == "keys of bank are not fetched: status 404; its tokens are refused"
    assert alone.body("now")["status"]["conditions"][0]["reason"] == "KeysNotFetched"
    [both] = writes(messages_of([{**keys, "type": "keys"}, refused]), {}, whole=True)
    assert both.message.startswith("a.shop refuse rds 80: bad; keys of bank")
    assert both.body("now")["status"]["conditions"][0]["reason"] == "RefusedByProxies"


def test_an_object_that_pilot_leaves_out_is_told_with_a_reason_of_its_own():
    left = row(config=str(ROUTES), message="not valid: spec.http", count=0, proxies=(), resources=())
    [alone] = writes(messages_of([{**left, "type": "config"}]), {}, whole=True)
    assert alone.message == "left out: not valid: spec.http"
    assert alone.body("now")["status"]["conditions"][0]["reason"] == "LeftOutByPilot"
    [both] = writes(messages_of([{**left, "type": "config"}, row(config=str(ROUTES))]), {}, whole=True)
    assert both.message.endswith("; left out: not valid: spec.http")
    assert both.body("now")["status"]["conditions"][0]["reason"] == "RefusedByProxies"
