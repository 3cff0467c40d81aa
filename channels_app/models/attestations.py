"""What was brought to prove where a package comes from: the sidecar that is served beside it (CEP-50)."""

from __future__ import annotations

from django.db import models

from channels_app.models.files import PackageFile


class Attestation(models.Model):
    """One state of a file's sidecar. Immutable: another attestation makes another row, and the file's record names the last one.

    sha256: of `sidecar`, a JSON array of Sigstore bundles; signers: [{identity, issuer}] as the certificates say, in that order.
    """

    file = models.ForeignKey(PackageFile, on_delete=models.CASCADE, related_name="attestations", db_index=False)
    sha256 = models.CharField(max_length=64)
    sidecar = models.BinaryField()
    signers = models.JSONField(default=list)
    added_at = models.DateTimeField(auto_now_add=True)
    added_by = models.CharField(max_length=200)

    class Meta:
        constraints = (models.UniqueConstraint(fields=["file", "sha256"], name="attestation_unique"),)

    def __str__(self) -> str:
        return f"{self.file_id} {self.sha256[:12]}"
