"""conda-store's own UI, served as it is published: one page that holds its settings, for every address below /conda-store/ui/."""

from __future__ import annotations

from typing import Any

from csp.constants import NONCE, SELF, UNSAFE_INLINE
from csp.decorators import csp_replace
from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.shortcuts import render

ROOT = "/conda-store/ui"
# Where it sends a browser when it has no page for an address, for the answer's status.
NOT_FOUND = "not-found"


def _page(request: HttpRequest, rest: str = "") -> HttpResponseBase:
    if request.method not in ("GET", "HEAD"):
        return HttpResponse(status=405, headers={"Allow": "GET, HEAD"})
    response = render(request, "environments/conda_store_ui.html", {"root": ROOT}, status=404 if rest == NOT_FOUND else 200)
    response.headers["Cache-Control"] = "private, no-cache"
    return response


# Its styles are put into the page by its own script, which knows no nonce; scripts need one. It asks this hub alone.
page: Any = csp_replace({"script-src": [NONCE], "style-src": [SELF, UNSAFE_INLINE]})(_page)


def home(request: HttpRequest) -> HttpResponseBase:
    """Who opens /conda-store/ in a browser means the UI."""
    return HttpResponseRedirect(f"{ROOT}/")
