"""DNS messages: what the agent answers itself, and what makes an answer of another server one to our question.

The wire format is dnspython's (RFC 1035, RFC 6891). Pure: identifiers and the turn of addresses are arguments.
"""

from dataclasses import dataclass

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.opcode
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset

from envoy_bootstrap.core.name_lookup import Family, NameLookup

TTL = 30
"""Seconds, as Istio's."""
SERVFAIL = dns.rcode.SERVFAIL
_FAMILIES = {dns.rdatatype.A: Family.V4, dns.rdatatype.AAAA: Family.V6}
_HEADER_BYTES = 12
_PLAIN_UDP_BYTES = 512
"""What a client without EDNS takes by UDP (RFC 1035 §4.2.1)."""


@dataclass(frozen=True, slots=True)
class Question:
    """One query: as it came, its name and type in words, and how large an answer may be."""

    message: dns.message.Message
    wire: bytes
    name: str
    kind: str
    limit: int


def parse_question(wire: bytes, *, datagram: bool) -> Question | bytes | None:
    """A query; the bytes of a refusal for one that cannot be read or answered; None for what deserves no answer."""
    if len(wire) < _HEADER_BYTES or wire[2] & 0x80:
        return None  # an answer to an answer would go on for ever
    if wire[2] >> 3 & 0x0F != dns.opcode.QUERY:
        return _bare(wire, dns.rcode.NOTIMP)
    try:
        message = dns.message.from_wire(wire)
    except (dns.exception.DNSException, ValueError, AssertionError):
        return _bare(wire, dns.rcode.FORMERR)
    if len(message.question) != 1 or message.question[0].rdclass != dns.rdataclass.IN:
        return _bare(wire, dns.rcode.SERVFAIL)
    asked = message.question[0]
    limit = max(_PLAIN_UDP_BYTES, message.payload) if datagram else 65535
    return Question(message, wire, asked.name.to_text(), dns.rdatatype.to_text(asked.rdtype), limit)


def answer(question: Question, names: NameLookup | None, turn: int) -> bytes | None:
    """The answer for a name of the mesh, its addresses beginning with the `turn`th; None when others must be asked.

    Without a table nothing is known about any name: SERVFAIL, so that the client asks again.
    """
    if names is None:
        return refusal(question, dns.rcode.SERVFAIL)
    asked = question.message.question[0]
    family = _FAMILIES.get(asked.rdtype)
    if family is None or (found := names.lookup(question.name, family)) is None:
        return None
    response = _response(question)
    response.flags |= dns.flags.AA
    owner = asked.name
    if found.alias is not None:
        response.answer.append(dns.rrset.from_text(owner, TTL, "IN", "CNAME", f"{found.alias}."))
        owner = dns.name.from_text(f"{found.alias}.")
    if found.addresses:
        first = turn % len(found.addresses)
        turned = found.addresses[first:] + found.addresses[:first]
        response.answer.append(dns.rrset.from_text(owner, TTL, "IN", question.kind, *turned))
    return _sized(response, question.limit)


def refusal(question: Question, code: dns.rcode.Rcode) -> bytes:
    """An answer without records."""
    response = _response(question)
    response.set_rcode(code)
    return response.to_wire()


def forwarded(question: Question, identifier: int) -> bytes:
    """The query as it goes to another server: under an identifier of ours, which nobody else can know."""
    return identifier.to_bytes(2, "big") + question.wire[2:]


def returned(question: Question, identifier: int, wire: bytes) -> bytes | None:
    """Another server's answer as it goes to the client; None when it is not one to this query (RFC 5452 §9)."""
    if len(wire) < _HEADER_BYTES or int.from_bytes(wire[:2], "big") != identifier or not wire[2] & 0x80:
        return None
    try:
        response = dns.message.from_wire(wire, ignore_trailing=True)
    except (dns.exception.DNSException, ValueError, AssertionError):
        return None
    if response.question != question.message.question:
        return None
    if len(wire) <= question.limit:
        return question.wire[:2] + wire[2:]
    response.id = question.message.id
    return _sized(response, question.limit)


def is_truncated(wire: bytes) -> bool:
    """Whether the rest must be asked for by TCP."""
    return bool(wire[2] & 0x02)


def _response(question: Question) -> dns.message.Message:
    response = dns.message.make_response(question.message, recursion_available=True)
    response.set_rcode(dns.rcode.NOERROR)
    return response


def _sized(response: dns.message.Message, limit: int) -> bytes:
    try:
        return response.to_wire(max_size=limit, want_shuffle=False)
    except dns.exception.TooBig:
        response.answer.clear()
        response.authority.clear()
        response.additional.clear()
        response.flags |= dns.flags.TC
        return response.to_wire()


def _bare(wire: bytes, code: dns.rcode.Rcode) -> bytes:
    """A header alone: of a query that was not understood nothing is repeated."""
    return wire[:2] + bytes((0x80 | (wire[2] & 0x79), int(code))) + bytes(8)
