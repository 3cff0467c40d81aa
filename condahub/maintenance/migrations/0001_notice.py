from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    dependencies: list[tuple[str, str]] = []

    operations = [
        migrations.CreateModel(
            name="SiteNotice",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("text", models.CharField(blank=True, default="", max_length=500)),
                ("level", models.CharField(choices=[("info", "Information"), ("warning", "Warning")], default="info", max_length=7)),
                ("read_only", models.BooleanField(default=False)),
                ("changed_at", models.DateTimeField(auto_now=True)),
                ("changed_by", models.CharField(blank=True, default="", max_length=200)),
            ],
            options={"constraints": [models.CheckConstraint(condition=models.Q(("pk", 1)), name="notice_only_one")]},
        ),
    ]
