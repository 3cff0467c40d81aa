"""The OpenAPI document: without a warning, complete, and true of what the API does with any input that fits or does not."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import schemathesis
from django.core.management import call_command
from django.core.signals import request_finished, request_started
from django.core.wsgi import get_wsgi_application
from django.db import close_old_connections, transaction
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import FailureGroup
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi import checks

from condahub.accounts import services
from condahub.accounts.policy import Actor
from tests.api.conftest import Api, World

pytestmark = pytest.mark.django_db

EXAMPLES = [pytest.param(6, id="some"), pytest.param(60, id="many", marks=pytest.mark.long)]
# Operations that some made-up request must succeed with.
MIN_SUCCEEDED = 45
CHECKS = [
    not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
]


@pytest.fixture
def document(world: World) -> dict[str, Any]:
    return Api().get("schema")


@contextmanager
def one_connection() -> Iterator[None]:
    """Requests of a bare WSGI client end without closing the connection that holds the test's transaction."""
    for signal in (request_started, request_finished):
        signal.disconnect(close_old_connections)
    yield
    for signal in (request_started, request_finished):
        signal.connect(close_old_connections)


def test_it_is_made_without_a_warning(tmp_path: Any) -> None:
    call_command("spectacular", "--fail-on-warn", "--validate", "--file", str(tmp_path / "schema.yaml"))


def test_every_operation_is_described_with_its_answers_and_errors(document: dict[str, Any]) -> None:
    assert document["openapi"].startswith("3.1")
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            if method == "parameters":
                continue
            assert len(operation["description"]) > 10, (method, path)
            assert {"400", "401", "403"} <= set(operation["responses"]), (method, path)
            assert set(operation["responses"]) & {"200", "201", "202", "204"}, (method, path)
    upload = document["paths"]["/api/hub/v1/channels/{channel}/upload/{filename}"]["post"]
    assert upload["requestBody"]["content"]["application/octet-stream"]["schema"] == {"type": "string", "format": "binary"}
    assert "session" not in {name for scheme in upload["security"] for name in scheme}


@pytest.mark.real
@pytest.mark.parametrize("examples", EXAMPLES)
@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=lambda mode: mode.value)
def test_it_is_true_of_any_input(world: World, document: dict[str, Any], mode: GenerationMode, examples: int) -> None:
    schema = schemathesis.openapi.from_dict(pointed_at(world, document))
    schema.app = get_wsgi_application()
    headers = {"Authorization": f"Bearer {world.secret('admin')}"}
    failures = []
    succeeded = set()
    with one_connection():
        for found in schema.get_all_operations():
            operation = found.ok()
            try:
                statuses = examine(operation.as_strategy(generation_mode=mode), headers, examples)
                if any(200 <= status < 300 for status in statuses):
                    succeeded.add(f"{operation.method} {operation.path}")
            except Unsatisfiable:
                assert mode is GenerationMode.NEGATIVE, operation.path  # it takes nothing that could be wrong
            except FailureGroup as group:
                failures.append(f"{operation.method} {operation.path}: {group}")
    assert not failures, "\n".join(failures)
    if mode is GenerationMode.POSITIVE:
        assert len(succeeded) >= MIN_SUCCEEDED, f"hardly anything succeeds, so hardly anything is tried: {sorted(succeeded)}"


def examine(strategy: Any, headers: dict[str, str], examples: int) -> set[int]:
    """Send so many made-up requests, what each changed being undone; the statuses of the answers."""
    statuses: set[int] = set()

    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=strategy)
    def run(case: Any) -> None:
        with transaction.atomic():
            response = case.call(headers=headers)
            transaction.set_rollback(True)
        statuses.add(response.status_code)
        case.validate_response(response, checks=CHECKS)

    run()
    return statuses


def pointed_at(world: World, document: dict[str, Any]) -> dict[str, Any]:
    """The document with names in its paths that exist, so that the requests reach what lies behind the first look-up."""
    owner = Actor.of(world.people["owner"])
    services.create_team(actor=owner, organization=world.acme, slug="core")
    services.create_robot(actor=owner, organization=world.acme, name="bot")
    token = services.create_token(actor=owner, name="one", scopes=["read"]).token.pk
    known: dict[str, list[object]] = {
        "channel": ["inner", "outer"],
        "filename": ["inside-1.0-0.conda", "fresh-1.0-0.conda"],
        "number": [1, 2, token],
        "organization": ["acme"],
        "package": ["inside"],
        "robot": ["bot"],
        "subdir": ["noarch"],
        "team": ["core"],
        "username": ["outsider", "reader"],
    }
    pointed = copy.deepcopy(document)
    for operations in pointed["paths"].values():
        for operation in operations.values():
            for parameter in operation.get("parameters", ()):
                if parameter["in"] == "path" and parameter["name"] in known:
                    parameter["schema"]["enum"] = known[parameter["name"]]
    return pointed
