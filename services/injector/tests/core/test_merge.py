from injector.core.merge import strategic_merge


def test_containers_merge_by_name_and_new_ones_come_last():
    base = {"containers": [{"name": "app", "image": "a"}, {"name": "log", "image": "l"}]}
    patch = {"containers": [{"name": "proxy", "image": "p"}, {"name": "app", "tty": True}]}
    assert strategic_merge(base, patch) == {
        "containers": [
            {"name": "app", "image": "a", "tty": True},
            {"name": "log", "image": "l"},
            {"name": "proxy", "image": "p"},
        ]
    }


def test_environment_and_mounts_merge_by_their_own_keys():
    base = {"env": [{"name": "A", "value": "1"}], "volumeMounts": [{"name": "v", "mountPath": "/v"}]}
    patch = {"env": [{"name": "A", "value": "2"}], "volumeMounts": [{"name": "w", "mountPath": "/w"}]}
    merged = strategic_merge(base, patch)
    assert merged["env"] == [{"name": "A", "value": "2"}]
    assert [mount["mountPath"] for mount in merged["volumeMounts"]] == ["/v", "/w"]


def test_a_port_without_protocol_is_the_tcp_port():
    base = {"ports": [{"containerPort": 53, "protocol": "UDP"}, {"containerPort": 53}]}
    merged = strategic_merge(base, {"ports": [{"containerPort": 53, "protocol": "TCP", "name": "dns"}]})
    assert [port.get("name") for port in merged["ports"]] == [None, "dns"]


def test_lists_without_a_key_are_replaced_whole():
    assert strategic_merge({"args": ["a", "b"]}, {"args": ["c"]}) == {"args": ["c"]}


def test_null_removes():
    assert strategic_merge({"a": {"b": 1, "c": 2}}, {"a": {"b": None}, "d": {"e": None}}) == {"a": {"c": 2}, "d": {}}


def test_the_arguments_are_not_changed():
    base, patch = {"containers": [{"name": "a"}]}, {"containers": [{"name": "a", "image": "i"}, {"name": "b"}]}
    strategic_merge(base, patch)
    assert base == {"containers": [{"name": "a"}]}
    assert patch == {"containers": [{"name": "a", "image": "i"}, {"name": "b"}]}
