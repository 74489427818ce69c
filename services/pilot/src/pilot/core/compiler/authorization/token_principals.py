"""Request principals, `<issuer>/<subject>` of a verified token, as matchers of the two claims. Pure."""

from envoy.config.rbac.v3 import rbac_pb2

from pilot.core.compiler.authorization.matchers import Text, Value, metadata_matcher, text_matcher
from pilot.core.compiler.jwt_claims import JWT_FILTER, PAYLOAD


def request_principal(value: str) -> rbac_pb2.Principal:
    """Both claims as the value asks for them."""
    issuer, subject = _claims(value)
    made = rbac_pb2.Principal()
    for claim, matcher in (("iss", issuer), ("sub", subject)):
        one = metadata_matcher(JWT_FILTER, (PAYLOAD, claim), Value(string_match=matcher))
        made.and_ids.ids.append(rbac_pb2.Principal(metadata=one))
    return made


def _claims(value: str) -> tuple[Text, Text]:
    """The last slash parts them, unless it is that of a scheme in an issuer that goes on.

    Without one a prefix is the issuer's and a suffix the subject's.
    """
    issuer, slash, subject = value.rpartition("/")
    if slash and not issuer.endswith(":/"):
        return text_matcher(issuer), text_matcher(subject)
    if value == "*":
        return text_matcher("*"), text_matcher("*")
    if value.startswith("*"):
        return text_matcher("*"), text_matcher(value)
    if value.endswith("*"):
        return text_matcher(value), text_matcher("*")
    return text_matcher(value), Text(exact="")
