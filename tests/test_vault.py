"""Secrets at rest: unreadable without the key, readable after the key was changed, for one purpose only."""

from __future__ import annotations

import pytest
from pytest_django.fixtures import Settings

from condahub import vault


def test_what_is_sealed_shows_nothing_and_comes_back() -> None:
    sealed = vault.seal("a secret", purpose="mirror")
    assert "secret" not in sealed and sealed != vault.seal("a secret", purpose="mirror")
    assert vault.unseal(sealed, purpose="mirror") == "a secret"


def test_one_purpose_does_not_read_another() -> None:
    with pytest.raises(vault.Unsealable):
        vault.unseal(vault.seal("a secret", purpose="mirror"), purpose="webhook")


def test_a_changed_key_reads_what_the_former_one_sealed_as_long_as_it_is_a_fallback(settings: Settings) -> None:
    settings.SECRET_KEY = "former" * 10
    sealed = vault.seal("a secret", purpose="mirror")
    assert vault.is_current(sealed, purpose="mirror")
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "present" * 10, ["former" * 10]
    assert vault.unseal(sealed, purpose="mirror") == "a secret"
    assert not vault.is_current(sealed, purpose="mirror")
    settings.SECRET_KEY_FALLBACKS = []
    with pytest.raises(vault.Unsealable) as lost:
        vault.unseal(sealed, purpose="mirror")
    assert "CONDAHUB_SECRET_KEY_FALLBACKS" in lost.value.hint


def test_a_forged_seal_is_refused() -> None:
    sealed = vault.seal("a secret", purpose="mirror")
    for forged in (sealed[:-4] + "AAA=", "nonsense", ""):
        with pytest.raises(vault.Unsealable):
            vault.unseal(forged, purpose="mirror")
