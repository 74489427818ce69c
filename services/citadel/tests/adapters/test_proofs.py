"""Every way to prove who one is, and what proves nothing. Numbers of attacks are those of docs/security-tests.md."""

import asyncio
import ipaddress
from datetime import UTC, datetime, timedelta

import jwt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from meshcore.http import listening
from meshcore.runtime import tasks
from meshcore.testing.galley import TOKEN
from meshcore.testing.identity import make_ca
from meshcore.testing.kubeconfig import write_kubeconfig
from meshcore.tls import Bundle, ServiceIdentity, TrustFollower
from starlette.applications import Starlette
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.routing import Route

KEY = ec.generate_private_key(ec.SECP256R1())
FRONT = "spiffe://cluster.local/ns/shop/sa/front"
REFUSED = ("UNAUTHENTICATED", "request authenticate failure")
DAY, HOUR = timedelta(days=1), timedelta(hours=1)


def uri_of(chain):
    if isinstance(chain, tuple):
        return chain
    names = x509.load_pem_x509_certificate(chain[0].encode()).extensions
    return names.get_extension_for_class(x509.SubjectAlternativeName).value.get_values_for_type(
        x509.UniformResourceIdentifier
    )[0]


def bearer(token):
    return ("authorization", f"Bearer {token}")


async def test_odd_headers_and_claims_prove_nobody(citadel, sign):
    """Attack 6."""
    token = citadel.issuer.token()
    for header in (f"bearer {token}", token, f"Istio {token}", "Bearer ", f"Bearer{token}", f"Bearer  x{token}"):
        assert await citadel.call(sign(KEY), ("authorization", header)) == REFUSED
    both = [("authorization", "Basic eA=="), bearer(token)]
    assert uri_of(await citadel.call(sign(KEY), *both)) == FRONT
    assert await citadel.call(sign(KEY), bearer("x" * 7000), bearer(token)) == REFUSED
    now = datetime.now(UTC)
    for claims in (
        {"aud": None},
        {"aud": []},
        {"aud": "kubernetes.default.svc"},
        {"exp": now - timedelta(seconds=1)},
        {"exp": None},
        {"nbf": now + HOUR},
        {"iss": "https://elsewhere"},
        {"sub": "admin"},
    ):
        assert await citadel.call(sign(KEY), bearer(citadel.issuer.token(**claims))) == REFUSED, claims


@pytest.mark.parametrize(
    "subject",
    [
        "system:serviceaccount",
        "system:serviceaccount:",
        "system:serviceaccount:shop",
        "system:serviceaccount:shop:",
        "system:serviceaccount::front",
        "system:serviceaccount:shop:front:x:y",
        "system:node:shop:front",
        "",
    ],
)
async def test_a_subject_of_another_shape_is_refused_and_nothing_breaks(citadel, sign, subject):
    """Attack 7."""
    assert await citadel.call(sign(KEY), bearer(citadel.issuer.token(sub=subject))) == REFUSED
    assert uri_of(await citadel.call(sign(KEY), bearer(citadel.issuer.token()))) == FRONT


async def test_unsigned_and_symmetric_tokens_are_refused(citadel, sign):
    claims = jwt.decode(citadel.issuer.token(), options={"verify_signature": False})
    kid, key = next(iter(citadel.issuer.keys.items()))
    stranger = ec.generate_private_key(ec.SECP256R1())
    for token in (
        jwt.encode(claims, None, "none", headers={"kid": kid}),
        jwt.encode(claims, "a secret that everybody could know", "HS256", headers={"kid": kid}),
        jwt.encode(claims, stranger, "ES256", headers={"kid": kid}),
        jwt.encode(claims, key, "ES256"),
    ):
        assert await citadel.call(sign(KEY), bearer(token)) == REFUSED


async def test_client_certificates_that_prove_nobody(citadel, sign):
    """Attack 8: what the TLS layer lets through, because our own root signed it, is looked at again."""
    now = datetime.now(UTC)
    begin, end = now - HOUR, now + HOUR
    for names in (
        [FRONT, "spiffe://cluster.local/ns/shop/sa/other"],
        [],
        ["spiffe://elsewhere/ns/shop/sa/front"],
        ["https://cluster.local/front"],
    ):
        identity = await citadel.signed(names, begin, end)
        assert await citadel.refusal(sign(KEY), identity=identity) == REFUSED, names
    for what, identity in {
        "expired": await citadel.signed([FRONT], now - 3 * HOUR, now - 2 * HOUR),
        "not yet valid": await citadel.signed([FRONT], now + HOUR, now + 2 * HOUR),
        "foreign root": ours(make_ca().issue(FRONT), citadel),
    }.items():
        assert (await citadel.refusal(sign(KEY), identity=identity))[0] == "UNAVAILABLE", what
    good = await citadel.signed([FRONT], begin, end)
    assert uri_of(await citadel.create(sign(KEY), identity=good)) == FRONT


def ours(identity: ServiceIdentity, citadel) -> ServiceIdentity:
    """The same, believing this Citadel's root."""
    return ServiceIdentity(identity.key, identity.chain, (citadel.directory / "root-cert.pem").read_bytes())


async def test_a_root_of_others_is_for_peers_and_proves_nobody_here(in_force, citadel, sign):
    """Attack 17: who runs another authority that peers believe could write any name into a certificate, Pilot's too."""
    foreign = make_ca("elsewhere")
    front = await citadel.identity_of("shop", "front")
    bundles: asyncio.Queue[Bundle] = asyncio.Queue()

    async def take(bundle: Bundle) -> str:
        bundles.put_nowait(bundle)
        return ""

    follower = TrustFollower(f"127.0.0.1:{citadel.port}", "front-1", lambda: front, take, others=True)
    async with tasks.background(follower.run(), name="agent"), asyncio.timeout(60):
        assert await bundles.get() == Bundle(front.root)
        in_force().trust((foreign.certificate,))
        assert await bundles.get() == Bundle(front.root, others=foreign.root_pem)
        # What a certificate comes with, and so what Citadel and the services believe, are its own roots still.
        assert (await citadel.create(sign(KEY), identity=front))[-1].encode() == front.root
        pilot = ours(foreign.issue("spiffe://cluster.local/ns/istio-system/sa/pilot"), citadel)
        assert (await citadel.refusal(sign(KEY), identity=pilot))[0] == "UNAVAILABLE"
        in_force().trust(())
        assert await bundles.get() == Bundle(front.root)


@pytest.mark.parametrize("account", ["ledger", "pilot"])
async def test_impersonation_is_refused_whoever_asks(citadel, sign, account):
    """Attack 11."""
    namespace = "istio-system" if account == "pilot" else "shop"
    caller = await citadel.identity_of(namespace, account)
    refused = await citadel.refusal(sign(KEY), identity=caller, metadata={"ImpersonatedIdentity": FRONT})
    assert refused == ("UNAUTHENTICATED", "request impersonation authentication failure")


def forwarded(*uris):
    return ("x-forwarded-client-cert", ",".join(f"Hash=1;URI={uri}" for uri in uris))


async def test_a_forwarded_certificate_counts_from_named_gateways_only(
    citadel, identity_directory, issuer, start_citadel, sign
):
    """Attack 9: loopback is not trusted by itself."""
    assert await citadel.call(sign(KEY), forwarded(FRONT)) == REFUSED
    for networks, expected in (("10.0.0.0/8, fd00::/8", REFUSED), ("127.0.0.0/8", FRONT)):
        cidr = tuple(ipaddress.ip_network(one.strip()) for one in networks.split(","))
        async with start_citadel(identity_directory, issuer, trusted_gateway_cidr=cidr) as other:
            assert uri_of(await other.call(sign(KEY), forwarded(FRONT))) == expected
            pilot = "spiffe://cluster.local/ns/istio-system/sa/pilot"
            assert uri_of(await other.call(sign(KEY), forwarded(pilot, FRONT))) == expected
            for header in (
                [forwarded("spiffe://elsewhere/ns/shop/sa/front")],
                [forwarded(FRONT), forwarded(pilot)],
                [("x-forwarded-client-cert", 'URI="x')],
                [],
            ):
                assert await other.call(sign(KEY), *header) == REFUSED


async def workload_token(galley, *audiences):
    async with galley.client() as client:
        for path, name in (("/api/v1/namespaces", "shop"), ("/api/v1/namespaces/shop/serviceaccounts", "front")):
            await client.post(path, json={"metadata": {"name": name}})
        path = "/api/v1/namespaces/shop/serviceaccounts/front/token"
        made = await client.post(path, json={"spec": {"audiences": list(audiences)}})
        return made.raise_for_status().json()["status"]["token"]


async def test_an_api_server_vouches_for_tokens(tmp_path, galley, identity_directory, issuer, start_citadel, sign):
    """Attacks 6 and 10: by TokenReview at our own config API; what it does not know, or cannot be asked, is nobody."""
    config = write_kubeconfig(tmp_path / "kubeconfig", galley.url, galley.ca.root_pem, TOKEN)
    remote = tmp_path / "remote"
    remote.mkdir()
    write_kubeconfig(remote / "west.kubeconfig", galley.url, galley.ca.root_pem, TOKEN)
    good = bearer(await workload_token(galley, "istio-ca"))
    only = {"token_issuer": None, "kubeconfig": config, "remote_kubeconfigs": remote}
    async with start_citadel(identity_directory, issuer, **only) as citadel:
        for cluster in ([], [("clusterid", "Kubernetes")], [("clusterid", "")], [("clusterid", "west")]):
            assert uri_of(await citadel.call(sign(KEY), good, *cluster)) == FRONT, cluster
        # Two names are none, as in Istio: the local server is asked.
        assert uri_of(await citadel.call(sign(KEY), good, ("clusterid", "a"), ("clusterid", "b"))) == FRONT
        assert await citadel.call(sign(KEY), good, ("clusterid", "unknown")) == REFUSED
        assert await citadel.call(sign(KEY), bearer(await workload_token(galley, "elsewhere"))) == REFUSED
        assert await citadel.call(sign(KEY), bearer(issuer.token())) == REFUSED
        async with galley.client() as client:
            assert (await client.delete("/api/v1/namespaces/shop/serviceaccounts/front")).is_success
        assert await citadel.call(sign(KEY), good) == REFUSED
        good = bearer(await workload_token(galley, "istio-ca"))
        assert uri_of(await citadel.call(sign(KEY), good)) == FRONT
        galley.kill()
        assert await citadel.call(sign(KEY), good) == REFUSED
        row = (await citadel.get(f"/api/v1/certificates?identity={FRONT}")).json()["items"][0]
        assert row["proof"] == "token-review"


async def test_a_token_is_reviewed_by_the_cluster_that_its_bearer_names_and_by_no_other(
    tmp_path, galley, identity_directory, issuer, start_citadel, sign
):
    """Attack 10: one of two API servers takes no question of ours, so it vouches for nobody."""
    good = bearer(await workload_token(galley, "istio-ca"))
    answering = {"token": TOKEN, "other": "not-" + TOKEN}
    configs = {name: tmp_path / name for name in answering}
    for name, token in answering.items():
        configs[name].mkdir()
        write_kubeconfig(configs[name] / "west.kubeconfig", galley.url, galley.ca.root_pem, token)
    west = ("clusterid", "west")
    for local, remote, here, there in (("token", "other", FRONT, None), ("other", "token", None, FRONT)):
        only = {
            "token_issuer": None,
            "kubeconfig": configs[local] / "west.kubeconfig",
            "remote_kubeconfigs": configs[remote],
        }
        async with start_citadel(identity_directory, issuer, **only) as citadel:
            for answer, wanted in (
                (await citadel.call(sign(KEY), good), here),
                (await citadel.call(sign(KEY), good, west), there),
            ):
                assert answer == REFUSED if wanted is None else uri_of(answer) == wanted


async def test_the_oidc_issuer_is_asked_before_the_api_server(
    tmp_path, galley, identity_directory, issuer, start_citadel, sign
):
    config = write_kubeconfig(tmp_path / "kubeconfig", galley.url, galley.ca.root_pem, TOKEN)
    async with start_citadel(identity_directory, issuer, kubeconfig=config) as citadel:
        await citadel.runtime.readiness.wait()
        for token, proof in (
            (issuer.token(), "token"),
            (await workload_token(galley, "istio-ca"), "token-review"),
        ):
            assert uri_of(await citadel.call(sign(KEY), bearer(token))) == FRONT
            rows = (await citadel.get(f"/api/v1/certificates?identity={FRONT}")).json()["items"]
            assert max(rows, key=lambda row: row["issued_at"])["proof"] == proof


def review(name="system:serviceaccount:shop:front", groups=("system:serviceaccounts",), **more):
    user = {"username": name, "groups": list(groups)}
    return {"authenticated": True, "audiences": ["istio-ca"], "user": user} | more


ODD_REVIEWS = [
    review(authenticated=False),
    review(authenticated="true"),
    review("admin"),
    review("admin", ["system:masters"]),
    review(groups=[]),
    review(groups=["system:serviceaccounts:shop"]),
    review("system:serviceaccount:shop"),
    review("system:serviceaccount:shop:front:x:y"),
    review("system:serviceaccount:shop:front/../admin"),
    review(audiences=[]),
    review(audiences=["elsewhere"]),
    review(error="the token has expired"),
]
"""Of tokens that are no service account's, or not for an authority (attack 6)."""


async def test_a_review_of_the_usual_form_proves_somebody(tmp_path, identity_directory, issuer, start_citadel, sign):
    """So that what the odd ones lack is what they are refused for."""
    app = Starlette(
        routes=[
            Route(
                "/apis/authentication.k8s.io/v1/tokenreviews",
                lambda _: JSONResponse({"status": review()}, 201),
                methods=["POST"],
            )
        ]
    )
    async with listening(app, "127.0.0.1", 0) as port:
        config = write_kubeconfig(tmp_path / "kubeconfig", f"http://127.0.0.1:{port}", None, "x")
        async with start_citadel(identity_directory, issuer, token_issuer=None, kubeconfig=config) as citadel:
            assert uri_of(await citadel.call(sign(KEY), bearer("t"))) == FRONT


async def test_attack_6_answers_that_are_none_prove_nobody(tmp_path, identity_directory, issuer, start_citadel, sign):
    """An API server that answers with anything else than a review: too much, nonsense, an error, a redirect."""
    answers = [
        *(JSONResponse({"status": one}, 201) for one in ODD_REVIEWS),
        JSONResponse({"status": {"authenticated": True}}, 201),
        JSONResponse([], 201),
        PlainTextResponse("x" * 300_000, 201),
        PlainTextResponse("<html>", 200),
        JSONResponse({}, 500),
        PlainTextResponse("", 302, headers={"location": "http://169.254.169.254/"}),
    ]
    left = list(answers)

    async def answer(_):
        return left.pop(0)

    app = Starlette(routes=[Route("/apis/authentication.k8s.io/v1/tokenreviews", answer, methods=["POST"])])
    async with listening(app, "127.0.0.1", 0) as port:
        config = write_kubeconfig(tmp_path / "kubeconfig", f"http://127.0.0.1:{port}", None, "x")
        async with start_citadel(identity_directory, issuer, token_issuer=None, kubeconfig=config) as citadel:
            for _ in answers:
                assert await citadel.call(sign(KEY), bearer("t")) == REFUSED
    assert left == []
