"""Matrix products so small that a second thread would cost more than it saves."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

_lock = threading.Lock()


@contextmanager
def one_thread() -> Iterator[None]:
    """Numpy's products within take one thread, as long as they are not many at once.

    A product of 200 vectors takes 0.2 ms by one thread as by two; but where another program has the
    second core, the two wait for each other for 60 ms and more.
    """
    # The number is the whole process's: two that put it back in turn would leave it at one.
    with _lock, _blas().limit(limits=1):
        yield


@cache
def _blas() -> Any:
    # Finding the libraries takes milliseconds, and those of numpy are loaded by now.
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController().select(user_api="blas")
