"""Names on NATS, and what each role must be allowed. `citadel init` writes the server's users from these.

Only Galley writes `mesh-config`; consumers may read it through consumers of their own and ask Galley for the list. Each
user's replies come to an inbox that only this user may read.
"""

from __future__ import annotations

from dataclasses import dataclass

CONFIG_BUCKET = "mesh-config"
CONFIG_LIST = "mesh.config.list"

_CONFIG_STREAM = f"KV_{CONFIG_BUCKET}"


@dataclass(frozen=True, slots=True)
class Permissions:
    """Subjects that a user may publish to and subscribe to."""

    publish: tuple[str, ...]
    subscribe: tuple[str, ...]

    def __or__(self, other: Permissions) -> Permissions:
        return Permissions(
            tuple(sorted({*self.publish, *other.publish})), tuple(sorted({*self.subscribe, *other.subscribe}))
        )


def inbox_prefix(user: str) -> str:
    """Where replies to this user come; without a user, the client's default."""
    return f"_INBOX.{user}" if user else "_INBOX"


def feed_permissions(user: str) -> Permissions:
    """What a consumer of config needs: watch the bucket, ask Galley for the list."""
    return Permissions(
        publish=(
            f"$JS.API.STREAM.INFO.{_CONFIG_STREAM}",
            f"$JS.API.CONSUMER.CREATE.{_CONFIG_STREAM}",
            f"$JS.API.CONSUMER.CREATE.{_CONFIG_STREAM}.>",
            f"$JS.API.CONSUMER.INFO.{_CONFIG_STREAM}.*",
            f"$JS.API.CONSUMER.DELETE.{_CONFIG_STREAM}.*",
            f"$JS.FC.{_CONFIG_STREAM}.>",
            CONFIG_LIST,
        ),
        subscribe=(f"{inbox_prefix(user)}.>",),
    )


def galley_permissions(user: str) -> Permissions:
    """What Galley needs: own the bucket, answer lists."""
    return Permissions(
        publish=(
            f"$JS.API.STREAM.*.{_CONFIG_STREAM}",
            f"$JS.API.STREAM.MSG.GET.{_CONFIG_STREAM}",
            f"$JS.API.CONSUMER.*.{_CONFIG_STREAM}",
            f"$JS.API.CONSUMER.*.{_CONFIG_STREAM}.>",
            f"$JS.FC.{_CONFIG_STREAM}.>",
            f"$KV.{CONFIG_BUCKET}.>",
            "_INBOX.*.>",
        ),
        subscribe=(f"{inbox_prefix(user)}.>", CONFIG_LIST),
    )


def bucket_permissions(user: str, bucket: str) -> Permissions:
    """What a service needs that reads and writes a bucket of its own (Pilot and `mesh-endpoints`)."""
    stream = f"KV_{bucket}"
    return Permissions(
        publish=(
            f"$JS.API.STREAM.*.{stream}",
            f"$JS.API.STREAM.MSG.GET.{stream}",
            f"$JS.API.DIRECT.GET.{stream}",
            f"$JS.API.DIRECT.GET.{stream}.>",
            f"$JS.API.CONSUMER.*.{stream}",
            f"$JS.API.CONSUMER.*.{stream}.>",
            f"$JS.FC.{stream}.>",
            f"$KV.{bucket}.>",
        ),
        subscribe=(f"{inbox_prefix(user)}.>",),
    )
