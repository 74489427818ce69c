"""What a client may say that leads to nothing, until it is sent away."""

import pytest
from conversation import BLOCK, HEADERS, greeted, opens, violation
from meshcore.http2 import Code, Requested, Violated, frames
from meshcore.http2.connection import FULL_BUDGET, PER_SECOND
from meshcore.http2.frames import frame

NUISANCES = {
    "pings": frame(frames.PING, 0, 0, bytes(8)),
    "settings": frames.settings({}),
    "empty content": frame(frames.DATA, 0, 1),
    "padding alone": frame(frames.DATA, frames.PADDED, 1, b"\x04" + bytes(4)),
    "priorities": frame(frames.PRIORITY, 0, 1, bytes(5)),
    "unknown frames": frame(0xFE, 0, 0),
    "small windows": frames.window_update(0, 1),
    "late content": frame(frames.DATA, 0, 3, b"x"),
}


@pytest.mark.parametrize("kind", NUISANCES)
def test_attack_12_frames_that_lead_to_nothing_use_a_budget_up(kind):
    connection = greeted()
    connection.receive(opens(1) + opens(3) + frames.reset(3, Code.CANCEL))
    for _ in range(20):
        connection.second_passed()
    for _ in range(FULL_BUDGET // PER_SECOND):
        assert connection.receive(NUISANCES[kind] * PER_SECOND) == []
        connection.second_passed()
    assert violation(connection, NUISANCES[kind] * (FULL_BUDGET + PER_SECOND)) is Code.ENHANCE_YOUR_CALM


def test_attack_12_streams_that_are_reset_as_soon_as_they_begin_end_the_connection():
    many = b"".join(opens(stream) + frames.reset(stream, Code.CANCEL) for stream in range(1, 1001, 2))
    assert violation(greeted(), many) is Code.ENHANCE_YOUR_CALM
    too_many = b"".join(opens(stream) for stream in range(1, 5001, 2))
    assert violation(greeted(), too_many) is Code.ENHANCE_YOUR_CALM


def test_attack_12_answers_to_streams_that_are_reset_already_bring_their_client_nothing():
    connection = greeted()
    for stream in range(1, 1001, 2):
        events = connection.receive(opens(stream) + frames.reset(stream, Code.CANCEL))
        connection.headers(stream, b"\x88", ended=True)
        if isinstance(events[-1], Violated):
            break
    assert isinstance(events[-1], Violated)
    assert events[-1].code is Code.ENHANCE_YOUR_CALM


def test_attack_12_streams_that_a_client_makes_us_reset_cost_it_as_much():
    many = b"".join(opens(stream) + frames.window_update(stream, 0) for stream in range(1, 1001, 2))
    assert violation(greeted(), many) is Code.ENHANCE_YOUR_CALM


def test_attack_12_many_settings_in_one_frame_count_each():
    one = frames.INITIAL_WINDOW_SIZE.to_bytes(2) + frames.FIRST_WINDOW.to_bytes(4)
    assert violation(greeted(), frame(frames.SETTINGS, 0, 0, one * FULL_BUDGET)) is Code.ENHANCE_YOUR_CALM


def test_who_takes_answers_may_give_up_as_many_calls_as_he_likes():
    connection = greeted()
    for stream in range(1, 4001, 4):
        connection.receive(opens(stream) + frames.reset(stream, Code.CANCEL) + opens(stream + 2))
        connection.headers(stream + 2, b"\x88", ended=True)
    assert connection.receive(opens(4001)) == [Requested(4001, HEADERS, False)]


def test_attack_12_a_header_block_without_end_is_bounded():
    connection = greeted()
    first = frame(frames.HEADERS, 0, 1, BLOCK)
    assert violation(connection, first + frame(frames.CONTINUATION, 0, 1) * 100) is Code.ENHANCE_YOUR_CALM
    large = frame(frames.CONTINUATION, 0, 1, bytes(16_000))
    assert violation(greeted(), first + large * 5) is Code.ENHANCE_YOUR_CALM


def test_attack_12_few_bytes_that_mean_many_headers_are_bounded():
    adds = b"\x40\x01a\x7f\x81\x0f" + b"x" * 2048
    bomb = frame(frames.HEADERS, frames.END_HEADERS, 1, BLOCK + adds + b"\xbe" * 10_000)
    assert violation(greeted(), bomb) is Code.ENHANCE_YOUR_CALM
