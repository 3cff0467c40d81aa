"""What somebody asked for, as given: a fact."""

from __future__ import annotations

from django.db import models

from condahub.accounts.models import Organization
from environments_app.models.facts import Fact


class SpecificationKind(models.TextChoices):
    YAML = "yaml", "environment.yml"
    PIXI_LOCK = "pixi.lock", "pixi.lock"
    CONDA_LOCK = "conda-lock", "conda-lock"
    EXPLICIT = "explicit", "@EXPLICIT"


class Specification(Fact):
    """One text of one organization. `sha256` is of the text's UTF-8, `canonical` what it says, in one form whatever its layout."""

    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="+")
    sha256 = models.CharField(max_length=64)
    kind = models.CharField(max_length=10, choices=SpecificationKind)
    text = models.TextField()
    canonical = models.JSONField(default=dict)
    author = models.CharField(max_length=200)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ("-id",)
        constraints = (models.UniqueConstraint(fields=["organization", "sha256"], name="specification_once"),)

    def __str__(self) -> str:
        return f"{self.kind} {self.sha256[:12]}"
