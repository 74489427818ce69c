from __future__ import annotations

import socket
import subprocess
import sys

import pytest
from meshcore.testing.addresses import claim


def test_two_claims_differ_and_can_be_bound():
    with claim() as one, claim() as two:
        assert one.prefix != two.prefix
        for block in (one, two):
            with socket.create_server((block.address(), 4222)), socket.create_server((block.address(254), 4222)):
                assert block.address().startswith("127.")


def test_another_process_gets_another_block():
    with claim() as mine:
        script = "from meshcore.testing.addresses import claim\nfor _ in range(40): print(claim().prefix)"
        taken = subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, check=True
        ).stdout.split()
        assert mine.prefix not in taken


def test_a_released_block_can_be_claimed_again():
    block = claim()
    block.release()
    block.release()
    with pytest.raises(ValueError, match="255"):
        block.address(255)
