"""On a running hub: an event reaches a receiver within seconds, signed, by the hub's own processes."""

from __future__ import annotations

from collections.abc import Callable

import httpx
import pytest

from tests.events.conftest import Receiver
from tests.events.test_docs import verify_of_the_docs
from tests.hub import RunningHub

pytestmark = pytest.mark.real


def test_a_webhook_of_a_running_hub(start_a_hub: Callable[..., RunningHub], receiver: Receiver, eventually: Callable[..., object]) -> None:
    hub = start_a_hub(CONDAHUB_PRIVATE_NETWORKS_ALLOWED="127.0.0.1")
    with httpx.Client(base_url=f"{hub.url}/api/hub/v1/", headers=hub.headers) as api:
        api.post("organizations", json={"name": "acme"}).raise_for_status()
        made = api.post("organizations/acme/webhooks", json={"name": "chat", "url": receiver.url, "types": ["*"]}).raise_for_status().json()
        receiver.answers = [500]
        path = f"organizations/acme/webhooks/{made['id']}"
        api.post(f"{path}/test").raise_for_status()
        eventually(lambda: receiver.received)
        # The first retry comes after ten seconds, by a job that waited for it.
        eventually(lambda: len(receiver.received) == 2)
        assert all(verify_of_the_docs()(made["secret"], one.headers, one.body) for one in receiver.received)
        eventually(lambda: api.get(f"{path}/deliveries").json()["results"][0]["state"] == "delivered")
    assert made["secret"] not in hub.log and "in-the-url" not in hub.log
