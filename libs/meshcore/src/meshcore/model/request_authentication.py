"""RequestAuthentication: which JWTs are valid at a workload (security.istio.io)."""

from typing import Annotated

from pydantic import Field

from meshcore.model.base import Bool, Duration, MeshModel, StatusObject
from meshcore.model.cel import Cel
from meshcore.model.destination_rule import PolicySelector
from meshcore.model.policy_target import ONE_TARGET, PolicyTargetReference, TargetReferences
from meshcore.model.url import url_fault

NonEmpty = Annotated[str, Field(min_length=1)]
_HTTP_URL = Cel(
    'url(self).getScheme() in ["http", "https"]',
    "url must have scheme http:// or https://",
    lambda uri: url_fault(uri, ("http", "https")) is None,
)
_ONE_SOURCE_OF_KEYS = Cel(
    "(has(self.jwksUri) ? 1 : 0) + (has(self.jwks_uri) ? 1 : 0) + (has(self.jwks) ? 1 : 0) <= 1",
    "only one of jwks or jwksUri can be set",
    lambda rule: len(rule.model_fields_set & {"jwks_uri", "jwks_uri_snake", "jwks"}) <= 1,
)
Uri = Annotated[str, Field(min_length=1, max_length=2048), _HTTP_URL]
HeaderName = Annotated[str, Field(min_length=1, pattern=r"^[-_A-Za-z0-9]+$")]


class JwtHeader(MeshModel):
    """A header that may carry the token, after a prefix."""

    name: NonEmpty
    prefix: str = ""


class ClaimToHeader(MeshModel):
    """A claim that is copied into a request header."""

    header: HeaderName
    claim: NonEmpty


class JwtRule(MeshModel):
    """One issuer: where its keys are, where its tokens stand, what becomes of them."""

    issuer: NonEmpty | None = None
    audiences: tuple[NonEmpty, ...] = ()
    jwks_uri: Uri | None = None
    jwks_uri_snake: Annotated[Uri | None, Field(alias="jwks_uri")] = None
    """The same in the spelling that Istio's schema takes beside it; normalised away."""
    jwks: str | None = None
    from_headers: tuple[JwtHeader, ...] = ()
    from_params: tuple[NonEmpty, ...] = ()
    from_cookies: tuple[NonEmpty, ...] = ()
    output_payload_to_header: str = ""
    output_claim_to_headers: tuple[ClaimToHeader, ...] = ()
    forward_original_token: Bool = False
    timeout: Duration | None = None
    space_delimited_claims: Annotated[tuple[NonEmpty, ...], Field(max_length=64)] = ()
    cel = (_ONE_SOURCE_OF_KEYS,)


class RequestAuthenticationSpec(MeshModel):
    """Targets and issuers."""

    selector: PolicySelector | None = None
    target_ref: PolicyTargetReference | None = None
    target_refs: TargetReferences = ()
    jwt_rules: Annotated[tuple[JwtRule, ...], Field(max_length=4096)] = ()
    cel = (ONE_TARGET,)


class RequestAuthentication(StatusObject):
    """Which JWTs are valid; requests without one pass, until an AuthorizationPolicy asks for one."""

    spec: RequestAuthenticationSpec = RequestAuthenticationSpec()
