"""Real parts and rules for tests of every member: addresses, NATS, goldens. Never imported by a service."""
