"""A wheel that builds of an organization are made of; its bytes are kept, for its index may be gone one day."""

from __future__ import annotations

from django.db import models

from condahub.accounts.models import Organization


class Wheel(models.Model):
    """address: where it was fetched from, which no lock says; of one that was built here, where its source distribution was.
    Its bytes lie in the blob namespace `artifacts`.

    sdist, sdist_sha256: the source distribution that it was built of here, '' of one that its index had; built_with: the
    wheels that building it took, as "<filename> sha256:<digest>".
    """

    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="+", db_index=False)
    sha256 = models.CharField(max_length=64)
    filename = models.CharField(max_length=255)
    name = models.CharField(max_length=128)
    version = models.CharField(max_length=128)
    size = models.BigIntegerField()
    address = models.CharField(max_length=2000)
    sdist = models.CharField(max_length=255, blank=True, default="")
    sdist_sha256 = models.CharField(max_length=64, blank=True, default="")
    built_with = models.JSONField(default=list)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ("name", "version", "filename")
        constraints = (models.UniqueConstraint(fields=["organization", "sha256"], name="wheel_once_an_organization"),)
        indexes = (models.Index(fields=["sha256"], name="wheels_by_content"),)

    def __str__(self) -> str:
        return self.filename
