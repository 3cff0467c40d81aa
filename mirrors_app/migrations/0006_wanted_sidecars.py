"""Sidecars that attest mirrored packages, as long as they are to be brought."""

from __future__ import annotations

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("channels", "0010_attestations"), ("mirrors", "0005_bundles_touched_and_sources")]

    operations = [
        migrations.CreateModel(
            name="WantedSidecar",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("url", models.CharField(max_length=2000)),
                ("sha256", models.CharField(blank=True, max_length=64)),
                ("asked_at", models.DateTimeField(blank=True, null=True)),
                ("reason", models.CharField(blank=True, max_length=500)),
                (
                    "file",
                    models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, related_name="+", to="channels.packagefile"),
                ),
                (
                    "mirror",
                    models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name="wanted_sidecars", to="mirrors.mirror"),
                ),
            ],
        ),
    ]
