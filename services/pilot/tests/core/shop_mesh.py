"""The mesh of the core tests in YAML: a service `reviews` with two versions, and a database. Each test takes the parts
that it is about, and adds its own."""

REVIEWS = """
apiVersion: v1
kind: Service
metadata: {name: reviews, namespace: shop}
spec:
  clusterIP: 10.0.0.1
  selector: {app: reviews}
  ports: [{name: http, port: 9080}]
"""
REVIEWS_V1 = """
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: reviews-v1, namespace: shop}
spec: {address: 10.1.0.1, labels: {app: reviews, version: v1}, serviceAccount: reviews}
"""
REVIEWS_V2 = REVIEWS_V1.replace("v1}", "v2}").replace("reviews-v1", "reviews-v2").replace("10.1.0.1", "10.1.0.2")
SUBSETS = """
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: reviews, namespace: shop}
spec:
  host: reviews
  subsets: [{name: v1, labels: {version: v1}}, {name: v2, labels: {version: v2}}]
"""
DATABASE = """
apiVersion: v1
kind: Service
metadata: {name: db, namespace: shop}
spec:
  clusterIP: 10.0.0.2
  selector: {app: db}
  ports: [{name: tcp, port: 5432}]
"""


def documents(*parts: str) -> str:
    """One text of them, to which more may be added."""
    return "".join(f"{part.strip()}\n---\n" for part in parts)
