"""DNS messages in, DNS messages out."""

import dns.flags
import dns.message
import dns.rcode
import pytest
from envoy_bootstrap.core import dns_answers
from envoy_bootstrap.core.name_lookup import NameLookup
from envoy_bootstrap.core.resolv_conf import Resolvers, parse_resolv_conf
from hypothesis import given, settings
from hypothesis import strategies as st
from meshcore._generated.istio.networking.nds.v1 import nds_pb2

MANY = [f"10.1.{index // 250}.{index % 250 + 1}" for index in range(400)]


def names():
    table = nds_pb2.NameTable()
    table.table["a.example"].ips.extend(["10.0.0.1", "10.0.0.2", "10.0.0.3", "fd00::1"])
    table.table["many.example"].ips.extend(MANY)
    return NameLookup.of(table.SerializeToString(), "shop", "cluster.local", ["shop.svc.cluster.local"])


NAMES = names()


def ask(name, kind="A", *, turn=0, datagram=True, table=NAMES, **options):
    query = dns.message.make_query(name, kind, **options)
    question = dns_answers.parse_question(query.to_wire(), datagram=datagram)
    assert isinstance(question, dns_answers.Question)
    wire = dns_answers.answer(question, table, turn)
    return None if wire is None else dns.message.from_wire(wire)


def addresses(response):
    return [record.to_text() for rrset in response.answer for record in rrset]


def test_addresses_come_in_turn():
    assert addresses(ask("a.example")) == ["10.0.0.1", "10.0.0.2", "10.0.0.3"]
    assert addresses(ask("A.Example", turn=5)) == ["10.0.0.3", "10.0.0.1", "10.0.0.2"]
    response = ask("a.example", "AAAA")
    assert addresses(response) == ["fd00::1"]
    assert response.answer[0].ttl == 30
    assert response.flags & dns.flags.RA


def test_a_name_with_a_search_domain_is_answered_with_an_alias():
    assert addresses(ask("a.example.shop.svc.cluster.local")) == ["a.example.", "10.0.0.1", "10.0.0.2", "10.0.0.3"]


def test_a_known_name_without_an_address_of_that_family_is_empty_and_no_error():
    response = ask("many.example", "AAAA")
    assert (response.rcode(), response.answer) == (dns.rcode.NOERROR, [])


@pytest.mark.parametrize(("name", "kind"), [("b.example", "A"), ("a.example", "TXT"), ("a.example", "SRV")])
def test_what_the_mesh_does_not_know_is_for_others(name, kind):
    assert ask(name, kind) is None


def test_without_a_table_the_client_is_to_ask_again():
    assert ask("anything.example", table=None).rcode() == dns.rcode.SERVFAIL


def test_an_answer_that_is_too_large_says_so_and_comes_by_tcp():
    short = ask("many.example")
    assert short.flags & dns.flags.TC
    assert short.answer == []
    assert len(addresses(ask("many.example", datagram=False))) == 400
    assert len(addresses(ask("many.example", use_edns=0, payload=9000))) == 400


def raw(**flags):
    wire = bytearray(dns.message.make_query("a.example", "A", id=7).to_wire())
    for position, value in flags.items():
        wire[int(position[1:])] = value
    return bytes(wire)


@pytest.mark.parametrize(
    ("wire", "code"),
    [
        (raw(_2=0x28), dns.rcode.NOTIMP),
        (raw(_5=0), dns.rcode.FORMERR),
        (raw(_5=2), dns.rcode.FORMERR),
        (raw()[:-3], dns.rcode.FORMERR),
        (raw()[:12], dns.rcode.FORMERR),
        (raw(_26=3), dns.rcode.SERVFAIL),
        (raw()[:4] + bytes(8), dns.rcode.SERVFAIL),
    ],
)
def test_what_cannot_be_answered_is_refused_under_its_own_identifier(wire, code):
    refusal = dns_answers.parse_question(wire, datagram=True)
    assert isinstance(refusal, bytes)
    response = dns.message.from_wire(refusal)
    assert (response.id, response.rcode()) == (7, code)


def test_an_answer_is_never_answered():
    assert dns_answers.parse_question(raw(_2=0x80), datagram=True) is None
    assert dns_answers.parse_question(b"short", datagram=True) is None


@settings(max_examples=200, derandomize=True)
@given(st.binary(max_size=300))
def test_no_bytes_are_too_strange(wire):
    question = dns_answers.parse_question(wire, datagram=True)
    if isinstance(question, dns_answers.Question):
        dns_answers.answer(question, NAMES, 0)


def forwarded():
    query = dns.message.make_query("b.example", "A", id=7)
    question = dns_answers.parse_question(query.to_wire(), datagram=True)
    sent = dns.message.from_wire(dns_answers.forwarded(question, 4711))
    return question, dns.message.make_response(sent)


def test_another_servers_answer_comes_back_under_the_clients_identifier():
    question, response = forwarded()
    assert response.id == 4711
    assert dns.message.from_wire(dns_answers.returned(question, 4711, response.to_wire())).id == 7


def test_an_answer_to_another_question_or_identifier_is_none():
    question, response = forwarded()
    wire = response.to_wire()
    assert dns_answers.returned(question, 4712, wire) is None
    assert dns_answers.returned(question, 4711, wire[:11]) is None
    assert dns_answers.returned(question, 4711, dns_answers.forwarded(question, 4711)) is None
    other = dns.message.make_response(dns.message.make_query("c.example", "A", id=4711))
    assert dns_answers.returned(question, 4711, other.to_wire()) is None


def test_resolv_conf_is_read_as_the_c_library_does():
    text = "# old\nnameserver 10.0.0.1\nnameserver bad\nnameserver fe80::1%eth0\nnameserver 10.0.0.1\n"
    text += "search first.example\nsearch a.example b.example ; note\noptions ndots:5\n"
    assert parse_resolv_conf(text) == Resolvers(("10.0.0.1", "fe80::1%eth0"), ("a.example", "b.example"))
