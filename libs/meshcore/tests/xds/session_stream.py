"""A stream whose client is the test: what it says goes in, what it is sent is there to look at."""

from meshcore.xds import delta, sotw
from meshcore.xds.effects import Send
from meshcore.xds.frames import Frames
from meshcore.xds.request import Request
from meshcore.xds.resource import PackedResource, ResourceSet
from meshcore.xds.session import AdsSession
from meshcore.xds.types import CLUSTER_TYPE, ENDPOINT_TYPE, LISTENER_TYPE, ROUTE_TYPE


def target(clusters="", route="1", endpoints="1", listener="1"):
    packed = [PackedResource.pack(CLUSTER_TYPE, name, name.encode()) for name in clusters]
    packed += [PackedResource.pack(ENDPOINT_TYPE, name, endpoints.encode()) for name in clusters]
    packed += [PackedResource.pack(LISTENER_TYPE, "l", listener.encode())]
    packed += [PackedResource.pack(ROUTE_TYPE, "r", route.encode())]
    return ResourceSet.of(packed)


class Stream:
    """A client that has subscribed to everything and acknowledged it, unless told otherwise."""

    def __init__(self, first, front=delta):
        self.session = AdsSession(front, Frames())
        self.repeats = front is sotw
        self.names = {}
        self.now = 0.0
        self.session.resources_changed(first, 1, self.now)
        self.nonces = {}
        names = list(first.of_type(CLUSTER_TYPE))
        for type_url, wanted in ((CLUSTER_TYPE, ()), (ENDPOINT_TYPE, names), (LISTENER_TYPE, ()), (ROUTE_TYPE, ["r"])):
            self.ask(type_url, subscribe=wanted)
        self.settle()

    def took(self, effects):
        for effect in effects:
            if isinstance(effect, Send):
                self.nonces[effect.type_url] = effect.nonce
        return [effect.type_url for effect in effects if isinstance(effect, Send)], effects

    def ask(self, type_url, **request):
        if "subscribe" in request:
            self.names[type_url] = request["subscribe"]
        elif self.repeats:
            request["subscribe"] = self.names.get(type_url, ())
        return self.took(self.session.request_received(Request(type_url=type_url, **request), self.now))

    def ack(self, type_url, **request):
        return self.ask(type_url, nonce=self.nonces[type_url], **request)

    def change(self, resources, revision=2):
        return self.took(self.session.resources_changed(resources, revision, self.now))

    def settle(self):
        while waiting := [kind for kind, channel in self.session.channels.items() if channel.flight is not None]:
            for kind in waiting:
                self.ack(kind)
