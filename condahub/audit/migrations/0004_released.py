from __future__ import annotations

from django.db import migrations, models

from condahub.audit.triggers import install_by_migration, install_without_releases_by_migration


class Migration(migrations.Migration):
    dependencies = [("audit", "0003_forwarded")]

    operations = [
        migrations.CreateModel(
            name="Released",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("sequence", models.BigIntegerField(default=0)),
                ("hash", models.CharField(blank=True, default="", max_length=64)),
            ],
        ),
        migrations.RunPython(install_by_migration, install_without_releases_by_migration, elidable=False),
    ]
