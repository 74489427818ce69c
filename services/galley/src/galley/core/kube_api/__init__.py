"""The Kubernetes API's own words: paths, queries, Status, Table, discovery, OpenAPI. Pure."""
