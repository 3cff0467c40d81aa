"""Whether this process lives, and whether it is ready: for load balancers and supervisors."""

from __future__ import annotations

from django.db import DatabaseError, connection
from django.http import HttpRequest, HttpResponse, JsonResponse

from condahub.errors import HubError
from condahub.storage.blobs import blobs


def live(request: HttpRequest) -> HttpResponse:
    """200 as long as the process answers at all."""
    return HttpResponse("ok\n", content_type="text/plain", headers={"Cache-Control": "no-store"})


def ready(request: HttpRequest) -> HttpResponse:
    """200 when the database and the store answer, else 503 naming what does not."""
    problems = {}
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseError:
        problems["database"] = "does not answer"
    try:
        # Looking for any blob at all asks the store itself.
        blobs().exists("0" * 64)
    except HubError as error:
        problems["storage"] = error.detail
    return JsonResponse(
        {"ready": not problems, "problems": problems}, status=503 if problems else 200, headers={"Cache-Control": "no-store"}
    )
