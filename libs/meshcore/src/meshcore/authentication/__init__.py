"""Who calls over gRPC without a client certificate: tokens of workloads, and what a trusted gateway tells.

Citadel and Pilot take the same proofs, in Istio's order: OIDC token, TokenReview, forwarded certificate.
"""
