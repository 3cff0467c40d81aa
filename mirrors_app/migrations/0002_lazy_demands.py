"""Packages that lazy mirrors fetch on demand."""

from __future__ import annotations

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("channels", "0003_lean_indexes"),
        ("mirrors", "0001_mirrors"),
    ]

    operations = [
        migrations.CreateModel(
            name="Demand",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("holder", models.CharField(blank=True, max_length=64)),
                ("part", models.CharField(blank=True, max_length=200)),
                ("until", models.DateTimeField(db_index=True)),
                ("status", models.PositiveSmallIntegerField(default=0)),
                ("code", models.CharField(blank=True, max_length=64)),
                ("detail", models.CharField(blank=True, max_length=500)),
                ("hint", models.CharField(blank=True, max_length=500)),
                (
                    "file",
                    models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, related_name="demand", to="channels.packagefile"),
                ),
            ],
        ),
        migrations.CreateModel(
            name="Location",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("url", models.CharField(max_length=2000)),
                (
                    "file",
                    models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, related_name="location", to="channels.packagefile"),
                ),
            ],
        ),
    ]
