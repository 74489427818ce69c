"""NATS: one connection per service, the config feed, and the subjects with the permissions that they need."""
