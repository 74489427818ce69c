import pytest
from injector.core.config import parse_injection_config
from injector.core.decision import InjectionPolicy
from meshcore.errors import MeshError


def test_nothing_said_means_istios_defaults():
    config = parse_injection_config("")
    assert config.policy is InjectionPolicy.ENABLED
    assert config.default_templates == ("sidecar",)
    assert config.values["global"]["proxy"]["statusPort"] == 15020


def test_values_are_laid_over_the_defaults():
    config = parse_injection_config("", "global: {tag: '2', proxy: {logLevel: debug}}")
    assert config.values["global"]["tag"] == "2"
    assert config.values["global"]["proxy"]["logLevel"] == "debug"
    assert config.values["global"]["proxy"]["statusPort"] == 15020


def test_selectors_templates_and_aliases_are_read():
    config = parse_injection_config(
        "neverInjectSelector: [{matchExpressions: [{key: job, operator: In, values: [a, b]}]}]\n"
        "alwaysInjectSelector: [{matchLabels: {mesh: 'yes'}}]\n"
        "templates: {extra: 'spec: {}'}\naliases: {both: [sidecar, extra]}\ndefaultTemplates: [both]\n"
        "injectedAnnotations: {a: b}\n"
    )
    assert config.never[0].matches({"job": "b"})
    assert not config.never[0].matches({})
    assert config.always[0].matches({"mesh": "yes"})
    assert config.default_templates == ("both",)
    assert set(config.templates) == {"sidecar", "extra"}
    assert config.injected_annotations == {"a": "b"}


def test_every_violation_is_reported_at_once():
    with pytest.raises(MeshError) as caught:
        parse_injection_config(
            "polcy: x\npolicy: maybe\ntemplates: {a: '{% for %}', b: 5}\ndefaultTemplates: [nobody]\n"
            "neverInjectSelector: {}\nalwaysInjectSelector: [{matchExpressions: [{key: a, operator: Like}]}]\n"
            "injectedAnnotations: {a: 1}\naliases: {a: b}\n",
            "- a list",
        )
    fields = [violation.field for violation in caught.value.violations]
    assert {
        "values",
        "config.polcy",
        "config.policy",
        "config.templates",
        "config.aliases[a]",
        "config.defaultTemplates",
        "config.alwaysInjectSelector[0].matchExpressions[0]",
        "config.neverInjectSelector",
        "config.injectedAnnotations",
    } == set(fields)


@pytest.mark.parametrize("text", ["[", "just text", "- a", "a: &x [*x]"])
def test_what_is_not_a_map_is_refused(text):
    with pytest.raises(MeshError):
        parse_injection_config(text)
