"""Requests that must wait for an upstream: they leave the threads that serve, and are finished in threads of their own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

# In the WSGI environ. False where waiting would keep a thread from those who wait for nobody; servers without threads for it say nothing.
MAY_WAIT = "condahub.may_wait"
# What finishes a request that has moved to where it may wait: the door that is asked once more calls it, and does nothing else.
FINISH = "condahub.finish"

T = TypeVar("T")


class MustWait(Exception):
    """Raised by a door before it has answered anything, to the server: the request is to be run once more with this as FINISH."""

    def __init__(self, finish: Callable[[], Any]) -> None:
        super().__init__()
        self.finish = finish


def where_it_may_wait(environ: Mapping[str, Any], finish: Callable[[], T]) -> T:
    """What `finish` gives: called here, or later in a thread that is there for waiting (then MustWait is raised)."""
    if environ.get(MAY_WAIT) is False:
        raise MustWait(finish)
    return finish()
