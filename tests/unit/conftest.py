"""What all unit tests share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from threadpoolctl import threadpool_limits


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> Iterator[None]:
    """As in the pipeline: the matrices are small, and threads that wait for each other cost ten times the work."""
    with threadpool_limits(limits=1, user_api="blas"):
        yield
