from __future__ import annotations

from collections.abc import Iterator

import pytest
from meshcore.testing.addresses import Claim, claim


@pytest.fixture
def block() -> Iterator[Claim]:
    with claim() as claimed:
        yield claimed
