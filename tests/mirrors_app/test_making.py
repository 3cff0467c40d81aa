"""What options and form fields say of a bucket reaches the mirror's upstream."""

from __future__ import annotations

from typing import Any

import pytest

from condahub.cli.exits import Usage
from mirrors_app.models import Mirror, Upstream
from mirrors_app.portal.forms import MirrorForm
from mirrors_app.remote.making import _upstreams

NOTHING: dict[str, Any] = dict.fromkeys(("credentials", "token_file", "username", "endpoint", "region"))


def test_options_name_a_buckets_server_and_region() -> None:
    given = {**NOTHING, "password_stdin": False, "upstreams": ("s3://bucket/conda",), "endpoint": "https://s3.example.org", "region": "eu"}
    assert _upstreams(given) == [{"url": "s3://bucket/conda", "endpoint": "https://s3.example.org", "region": "eu"}]
    with_key = _upstreams({**given, "username": "AKIA", "credentials": "s3"})
    assert (with_key[0]["credential_kind"], with_key[0]["username"]) == ("s3", "AKIA")
    with pytest.raises(Usage):
        _upstreams({**given, "upstreams": ("s3://one/x", "s3://two/x")})


def test_a_page_that_changes_a_mirror_keeps_where_its_bucket_is() -> None:
    upstream = Upstream(url="s3://bucket/conda/", credential_kind="s3", username="AKIA", region="eu", endpoint="https://s3.example.org")
    values = MirrorForm.values_of_mirror(Mirror(subdirs=["noarch"]), [upstream])
    form = MirrorForm({**values, "schedule": "", "replaced": "hold", "username": "AKIB"}, initial=values)
    assert form.is_valid(), form.errors
    (spec,) = form.upstreams()
    assert (spec.endpoint, spec.region, spec.username, spec.secret) == ("https://s3.example.org", "eu", "AKIB", None)


def test_a_page_that_changes_a_mirror_keeps_what_it_does_with_what_policy_denies() -> None:
    upstream = Upstream(url="https://conda.example.org/forge/")
    values = MirrorForm.values_of_mirror(Mirror(subdirs=["noarch"], denied="leave"), [upstream])
    form = MirrorForm(values, initial=values)
    assert form.is_valid(), form.errors
    assert form.settings()["denied"] == "leave"
    without = MirrorForm({**values, "denied": ""}, initial=values)
    assert without.is_valid() and without.settings()["denied"] == "bring"
