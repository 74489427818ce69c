"""Envoy's own constraints, read from the descriptors of its API."""

import pytest
from google.protobuf import json_format
from meshcore.xds.constraints import violations
from meshcore.xds.fragment import FRAGMENTS
from meshcore.xds.registry import message_class

LUA = "type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua"
LIMIT = "type.googleapis.com/envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit"


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        ("CLUSTER", {"name": "a", "connect_timeout": "1s"}, []),
        ("CLUSTER", {"connect_timeout": "1s"}, ["name must not be empty"]),
        ("HTTP_ROUTE", {"match": {"safe_regex": {"regex": "/a.*"}}, "route": {"cluster": "a"}}, []),
        (
            "HTTP_ROUTE",
            {"match": {"safe_regex": {"regex": "(a+)+("}}, "route": {"cluster": "a"}},
            ["match.safe_regex.regex is no regular expression of RE2: missing ): (a+)+("],
        ),
        ("CLUSTER", {"name": "a", "connect_timeout": "0s"}, ["connect_timeout must be greater than 0:00:00"]),
        (
            "CLUSTER",
            {"name": "a", "outlier_detection": {"max_ejection_percent": 101}},
            ["outlier_detection.max_ejection_percent must be at most 100"],
        ),
        (
            "HTTP_FILTER",
            {"name": "a", "typed_config": {"@type": LUA, "source_codes": {"b": {"inline_string": ""}}}},
            [],
        ),
        (
            "HTTP_FILTER",
            {"name": "a", "typed_config": {"@type": LUA, "source_codes": {"b": {}}}},
            [
                "typed_config.source_codes[b].specifier needs one of "
                "filename, inline_bytes, inline_string, environment_variable"
            ],
        ),
        (
            "HTTP_FILTER",
            {"name": "a", "typed_config": {"@type": LIMIT, "stat_prefix": "s", "token_bucket": {"max_tokens": 0}}},
            [
                "typed_config.token_bucket.max_tokens must be greater than 0",
                "typed_config.token_bucket.fill_interval is required",
            ],
        ),
        (
            "VIRTUAL_HOST",
            {"name": "a", "domains": [], "routes": [{"match": {"prefix": "/"}, "direct_response": {"status": 600}}]},
            ["domains needs at least 1", "routes[0].direct_response.status must be less than 600"],
        ),
        ("HTTP_ROUTE", {"direct_response": {"status": 200}}, ["match is required"]),
        ("HTTP_ROUTE", {"match": {}, "direct_response": {"status": 200}}, ["match.path_specifier needs one of "]),
    ],
)
def test_a_broken_constraint_is_named_with_its_field(kind, value, expected):
    message = message_class(FRAGMENTS[kind])()
    json_format.ParseDict(value, message)
    found = list(violations(message))
    assert len(found) == len(expected), found
    for fault, wanted in zip(found, expected, strict=True):
        assert fault.startswith(wanted)
