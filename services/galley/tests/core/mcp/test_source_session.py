"""One MCP stream against a sink that does whatever a sink may do."""

from galley.core.mcp.effects import Acked, Close, Nacked, Push, Request, Stale
from galley.core.mcp.source_session import SourceSession
from galley.core.mcp.view import Collection, ConfigView, Entry
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

VS = "istio/networking/v1alpha3/virtualservices"
GW = "istio/networking/v1alpha3/gateways"
MIXER = "istio/policy/v1beta1/rules"
PLACES = {VS: ("networking.istio.io", "virtualservices"), GW: ("networking.istio.io", "gateways")}


def view_of(revision, **collections):
    """`view_of(3, vs={"shop/a": "1"})`."""
    places = {"vs": PLACES[VS], "gw": PLACES[GW]}
    made = {
        places[short]: Collection(str(revision), {name: Entry(name, version, b"") for name, version in items.items()})
        for short, items in collections.items()
    }
    return ConfigView(revision, made)


def test_the_first_request_is_answered_with_everything():
    session = SourceSession("s")
    session.on_view(view_of(3, vs={"shop/a": "1", "shop/b": "2"}))
    (push,) = session.on_request(Request(VS))
    assert [entry.name for entry in push.entries] == ["shop/a", "shop/b"]
    assert (push.topic, push.version, push.removed, push.incremental) == (VS, "3", (), False)
    assert push.nonce


def test_a_request_before_there_is_a_view_is_answered_when_there_is_one():
    session = SourceSession("s")
    assert session.on_request(Request(VS)) == ()
    (push,) = session.on_view(view_of(1, vs={}))
    assert push.entries == ()


def test_a_known_collection_that_is_always_empty_is_answered():
    session = SourceSession("s")
    session.on_view(view_of(1))
    (push,) = session.on_request(Request(MIXER))
    assert push.entries == ()


def test_an_unknown_collection_closes_the_stream():
    (close,) = SourceSession("s").on_request(Request("istio/networking/v9/wonders"))
    assert isinstance(close, Close)
    assert close.code == "invalid"


def test_an_ack_is_not_answered_until_something_changes():
    session = SourceSession("s")
    session.on_view(view_of(1, vs={"shop/a": "1"}))
    (push,) = session.on_request(Request(VS))
    assert session.on_request(Request(VS, push.nonce)) == (Acked(VS, "1"),)
    assert session.on_view(view_of(1, vs={"shop/a": "1"})) == ()
    (again,) = session.on_view(view_of(2, vs={"shop/a": "2"}))
    assert again.nonce != push.nonce


def test_a_refused_version_is_not_sent_again_but_the_next_change_is():
    session = SourceSession("s")
    session.on_view(view_of(1, vs={"shop/a": "1"}))
    (push,) = session.on_request(Request(VS))
    assert session.on_request(Request(VS, push.nonce, (3, "bad"))) == (Nacked(VS, "1", 3, "bad"),)
    assert session.on_view(view_of(1, vs={"shop/a": "1"})) == ()
    (again,) = session.on_view(view_of(2, vs={"shop/a": "2"}))
    assert again.version == "2"


def test_a_change_while_an_answer_is_out_waits_for_its_ack():
    session = SourceSession("s")
    session.on_view(view_of(1, vs={"shop/a": "1"}))
    (push,) = session.on_request(Request(VS))
    assert session.on_view(view_of(2, vs={"shop/a": "2"})) == ()
    acked, again = session.on_request(Request(VS, push.nonce))
    assert acked == Acked(VS, "1")
    assert again.version == "2"


def test_a_stale_nonce_changes_nothing():
    session = SourceSession("s")
    session.on_view(view_of(1, vs={}))
    assert session.on_request(Request(VS, "from-another-stream")) == (Stale(VS),)
    (push,) = session.on_request(Request(VS))
    assert session.on_request(Request(VS, "wrong")) == (Stale(VS),)
    assert session.on_request(Request(VS, push.nonce)) == (Acked(VS, "1"),)
    assert session.on_request(Request(VS, push.nonce)) == (Stale(VS),)


def test_a_sink_that_comes_back_gets_only_what_it_lacks():
    session = SourceSession("s")
    session.on_view(view_of(7, vs={"shop/a": "1", "shop/b": "6", "shop/c": "7"}))
    known = {"shop/a": "1", "shop/b": "2", "shop/gone": "3"}
    (push,) = session.on_request(Request(VS, incremental=True, known=known))
    assert push.incremental
    assert [entry.name for entry in push.entries] == ["shop/b", "shop/c"]
    assert push.removed == ("shop/gone",)


class Conversation(RuleBasedStateMachine):
    """A sink that applies what it ACKs, and a source whose config keeps changing."""

    topics = st.sampled_from([VS, GW])
    session = None

    @initialize(incremental=st.booleans())
    def begin(self, incremental):
        self.revision = 1
        self.config = {VS: {}, GW: {}}
        self.changed_at = {VS: 1, GW: 1}
        self.nonces = set()
        self.sink = {VS: {}, GW: {}}
        self.reconnect(incremental)

    def connect(self):
        self.session = SourceSession(f"stream-{len(self.nonces)}")
        self.out = {}
        self.asked = {}
        self.refused = {}
        self.told = 0

    def take(self, effects):
        for effect in effects:
            if isinstance(effect, Push):
                assert effect.topic in self.asked, "nobody asked"
                assert effect.topic not in self.out, "two answers at once"
                assert effect.nonce not in self.nonces
                assert self.refused.get(effect.topic) != effect.version, "a refused version came again"
                assert not effect.incremental or self.asked[effect.topic]
                self.nonces.add(effect.nonce)
                self.out[effect.topic] = effect

    def tell(self):
        self.told = self.revision
        collections = {
            PLACES[topic]: Collection(
                str(self.changed_at[topic]), {name: Entry(name, version, b"") for name, version in items.items()}
            )
            for topic, items in self.config.items()
        }
        self.take(self.session.on_view(ConfigView(self.revision, collections)))

    @rule(topic=topics, name=st.sampled_from("abc"), gone=st.booleans(), told=st.booleans())
    def change_one(self, topic, name, gone, told):
        self.change(name, gone, told, (topic,))

    def change(self, name, gone, told, topics=(VS, GW)):
        for topic in topics:
            self.change_topic(topic, name, gone)
        if told:
            self.tell()

    def change_topic(self, topic, name, gone):
        self.revision += 1
        before = dict(self.config[topic])
        if gone:
            self.config[topic].pop(name, None)
        else:
            self.config[topic][name] = str(self.revision)
        if before != self.config[topic]:
            self.changed_at[topic] = self.revision
            self.refused.pop(topic, None)

    @rule()
    def catch_up(self):
        self.tell()

    @rule(topic=topics, incremental=st.booleans())
    def ask(self, topic, incremental):
        self.out.pop(topic, None)
        self.refused.pop(topic, None)
        self.asked[topic] = incremental
        if not incremental:
            self.sink[topic] = {}
        self.take(self.session.on_request(Request(topic, incremental=incremental, known=dict(self.sink[topic]))))

    @precondition(lambda self: self.out)
    @rule()
    def ack(self):
        self.ack_of(min(self.out))

    @precondition(lambda self: self.out)
    @rule()
    def ack_all(self):
        for topic in sorted(self.out):
            self.ack_of(topic)

    def ack_of(self, topic):
        push = self.out.pop(topic)
        received = {entry.name: entry.version for entry in push.entries}
        if push.incremental:
            kept = {name: version for name, version in self.sink[topic].items() if name not in push.removed}
            self.sink[topic] = {**kept, **received}
        else:
            assert not push.removed
            self.sink[topic] = received
        self.take(self.session.on_request(Request(topic, push.nonce, incremental=self.asked[topic])))

    @precondition(lambda self: self.out)
    @rule()
    def nack(self):
        topic = max(self.out)
        push = self.out.pop(topic)
        self.refused[topic] = push.version
        self.take(self.session.on_request(Request(topic, push.nonce, (13, "no"), self.asked[topic])))

    @rule(topic=topics, error=st.none() | st.just((13, "no")))
    def say_something_stale(self, topic, error):
        assert self.session.on_request(Request(topic, "not-a-nonce", error)) == (Stale(topic),)

    @rule(incremental=st.booleans())
    def reconnect(self, incremental):
        self.connect()
        self.tell()
        for topic in (VS, GW):
            self.ask(topic, incremental)

    @invariant()
    def an_obedient_sink_has_what_there_is(self):
        for topic in self.asked:
            if topic not in self.out and topic not in self.refused and self.told == self.revision:
                assert self.sink[topic] == self.config[topic]

    def teardown(self):
        """Whatever happened: who ACKs from here on ends with what there is, after one more change."""
        if self.session is None:
            return
        self.change("z", False, True)
        while self.out:
            self.ack_of(min(self.out))
        assert self.sink == self.config


Conversation.TestCase.settings = settings(max_examples=100, stateful_step_count=40, derandomize=True, deadline=None)
TestConversation = Conversation.TestCase
