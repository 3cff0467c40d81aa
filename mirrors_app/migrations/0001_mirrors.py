"""Mirrors, their upstreams, what is known of each file, and runs."""

import django.core.validators
import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        ("channels", "0003_lean_indexes"),
        ("jobs", "0001_jobs"),
    ]

    operations = [
        migrations.CreateModel(
            name="Mirror",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "mode",
                    models.CharField(
                        choices=[("full", "Full"), ("filtered", "Filtered"), ("lazy", "Lazy"), ("lock", "Lock")],
                        default="full",
                        max_length=8,
                    ),
                ),
                ("subdirs", models.JSONField(default=list)),
                ("filters", models.JSONField(blank=True, default=dict)),
                ("lock", models.TextField(blank=True, editable=False)),
                ("removed", models.CharField(choices=[("keep", "Keep"), ("drop", "Drop")], default="keep", max_length=4)),
                ("replaced", models.CharField(choices=[("hold", "Hold"), ("follow", "Follow")], default="hold", max_length=6)),
                (
                    "shrink_share",
                    models.FloatField(
                        default=0.5,
                        validators=[django.core.validators.MinValueValidator(0.0), django.core.validators.MaxValueValidator(1.0)],
                    ),
                ),
                ("max_packages", models.PositiveIntegerField(default=0, help_text="At most so many are fetched in one run; 0: all.")),
                ("schedule", models.CharField(blank=True, max_length=100)),
                ("time_zone", models.CharField(default="UTC", max_length=64)),
                ("next_run_at", models.DateTimeField(blank=True, null=True)),
                ("paused", models.BooleanField(default=False)),
                ("windows", models.JSONField(blank=True, default=list)),
                ("bytes_per_second", models.PositiveBigIntegerField(default=0, help_text="0: no limit.")),
                (
                    "connections",
                    models.PositiveIntegerField(
                        default=16, validators=[django.core.validators.MinValueValidator(1), django.core.validators.MaxValueValidator(128)]
                    ),
                ),
                ("sealed_proxy", models.TextField(blank=True, editable=False)),
                ("ca_bundle", models.TextField(blank=True)),
                ("index_refresh_seconds", models.PositiveIntegerField(default=300)),
                ("negative_cache_seconds", models.PositiveIntegerField(default=300)),
                ("stale_after_seconds", models.PositiveIntegerField(default=3600)),
                ("approved", models.JSONField(blank=True, default=list, editable=False)),
                ("first_synced_at", models.DateTimeField(blank=True, editable=False, null=True)),
                ("last_synced_at", models.DateTimeField(blank=True, editable=False, null=True)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("created_by", models.CharField(blank=True, editable=False, max_length=200)),
                (
                    "channel",
                    models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, related_name="mirror", to="channels.channel"),
                ),
            ],
            options={
                "ordering": ("channel__name",),
            },
        ),
        migrations.CreateModel(
            name="MirroredFile",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("subdir", models.CharField(max_length=64)),
                ("filename", models.CharField(max_length=211)),
                ("name", models.CharField(max_length=128)),
                ("sha256", models.CharField(max_length=64)),
                ("md5", models.CharField(blank=True, max_length=32)),
                ("size", models.BigIntegerField()),
                ("spelling", models.BinaryField(max_length=16)),
                ("digest", models.BinaryField(max_length=16)),
                (
                    "role",
                    models.CharField(
                        choices=[("shown", "Shown"), ("left", "Left"), ("staged", "Staged"), ("aside", "Aside")], max_length=6
                    ),
                ),
                (
                    "file",
                    models.OneToOneField(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="mirrored",
                        to="channels.packagefile",
                    ),
                ),
                (
                    "mirror",
                    models.ForeignKey(
                        db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name="files", to="mirrors.mirror"
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="MirrorRefusal",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("subdir", models.CharField(max_length=64)),
                ("filename", models.CharField(max_length=255)),
                ("reason", models.CharField(max_length=500)),
                ("since", models.DateTimeField(auto_now_add=True)),
                (
                    "mirror",
                    models.ForeignKey(
                        db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name="refusals", to="mirrors.mirror"
                    ),
                ),
            ],
            options={
                "ordering": ("subdir", "filename"),
            },
        ),
        migrations.CreateModel(
            name="SyncRun",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("running", "Running"),
                            ("ok", "Ok"),
                            ("partial", "Partial"),
                            ("held", "Held"),
                            ("failed", "Failed"),
                            ("cancelled", "Cancelled"),
                        ],
                        default="running",
                        max_length=9,
                    ),
                ),
                (
                    "trigger",
                    models.CharField(
                        choices=[("person", "Person"), ("schedule", "Schedule"), ("approval", "Approval")], default="person", max_length=8
                    ),
                ),
                ("requested_by", models.CharField(blank=True, max_length=200)),
                ("started_at", models.DateTimeField()),
                ("ended_at", models.DateTimeField(blank=True, null=True)),
                ("added", models.PositiveIntegerField(default=0)),
                ("changed", models.PositiveIntegerField(default=0)),
                ("removed", models.PositiveIntegerField(default=0)),
                ("kept_though_gone", models.PositiveIntegerField(default=0)),
                ("replaced", models.PositiveIntegerField(default=0)),
                ("refused", models.PositiveIntegerField(default=0)),
                ("unchanged", models.PositiveIntegerField(default=0)),
                ("files", models.PositiveIntegerField(default=0)),
                ("bytes", models.PositiveBigIntegerField(default=0)),
                ("received_bytes", models.PositiveBigIntegerField(default=0)),
                ("revision", models.BigIntegerField(blank=True, null=True)),
                ("reason", models.CharField(blank=True, max_length=2000)),
                ("hint", models.CharField(blank=True, max_length=2000)),
                ("report", models.JSONField(blank=True, default=dict)),
                ("report_stored", models.CharField(blank=True, db_index=True, max_length=64)),
                ("held", models.JSONField(blank=True, default=list)),
                ("approved_by", models.CharField(blank=True, max_length=200)),
                ("approved_at", models.DateTimeField(blank=True, null=True)),
                (
                    "job",
                    models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name="+", to="jobs.job"),
                ),
                (
                    "mirror",
                    models.ForeignKey(
                        db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name="runs", to="mirrors.mirror"
                    ),
                ),
            ],
            options={
                "ordering": ("-id",),
            },
        ),
        migrations.CreateModel(
            name="Upstream",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("position", models.PositiveIntegerField(default=0)),
                ("url", models.CharField(max_length=2000)),
                (
                    "credential_kind",
                    models.CharField(
                        choices=[
                            ("none", "None"),
                            ("token", "Token"),
                            ("basic", "Basic"),
                            ("bearer", "Bearer"),
                            ("api_key", "Api Key"),
                            ("s3", "S3"),
                        ],
                        default="none",
                        max_length=8,
                    ),
                ),
                ("username", models.CharField(blank=True, max_length=200)),
                ("sealed_secret", models.TextField(blank=True, editable=False)),
                ("region", models.CharField(blank=True, max_length=64)),
                ("endpoint", models.CharField(blank=True, max_length=500)),
                (
                    "mirror",
                    models.ForeignKey(
                        db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name="upstreams", to="mirrors.mirror"
                    ),
                ),
            ],
            options={
                "ordering": ("mirror_id", "position"),
            },
        ),
        migrations.CreateModel(
            name="UpstreamRevision",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("subdir", models.CharField(max_length=64)),
                ("kind", models.CharField(max_length=8)),
                ("url", models.CharField(blank=True, max_length=2000)),
                ("etag", models.CharField(blank=True, max_length=500)),
                ("last_modified", models.CharField(blank=True, max_length=100)),
                ("digest", models.CharField(blank=True, max_length=64)),
                ("count", models.PositiveIntegerField(default=0)),
                ("stored", models.CharField(blank=True, db_index=True, max_length=64)),
                ("size", models.PositiveBigIntegerField(default=0)),
                ("seen_at", models.DateTimeField(auto_now_add=True)),
                (
                    "mirror",
                    models.ForeignKey(
                        db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name="revisions", to="mirrors.mirror"
                    ),
                ),
                (
                    "run",
                    models.ForeignKey(
                        blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name="+", to="mirrors.syncrun"
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="MirrorSubdir",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("subdir", models.CharField(max_length=64)),
                ("state", models.BinaryField()),
                ("records", models.PositiveIntegerField(default=0)),
                ("updated_at", models.DateTimeField(auto_now=True)),
                (
                    "mirror",
                    models.ForeignKey(
                        db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name="states", to="mirrors.mirror"
                    ),
                ),
                (
                    "revision",
                    models.ForeignKey(
                        blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name="+", to="mirrors.upstreamrevision"
                    ),
                ),
            ],
            options={
                "ordering": ("mirror_id", "subdir"),
            },
        ),
        migrations.AddIndex(
            model_name="mirror",
            index=models.Index(condition=models.Q(("next_run_at__isnull", False)), fields=["next_run_at"], name="mirror_due"),
        ),
        migrations.AddIndex(
            model_name="mirroredfile",
            index=models.Index(fields=["mirror", "subdir", "name"], name="mirrored_by_name"),
        ),
        migrations.AddIndex(
            model_name="mirroredfile",
            index=models.Index(condition=models.Q(("role__in", ["staged", "aside"])), fields=["mirror"], name="mirrored_unshown"),
        ),
        migrations.AddConstraint(
            model_name="mirrorrefusal",
            constraint=models.UniqueConstraint(fields=("mirror", "subdir", "filename"), name="refusal_unique"),
        ),
        migrations.AddIndex(
            model_name="syncrun",
            index=models.Index(fields=["mirror", "-id"], name="runs_of_mirror"),
        ),
        migrations.AddConstraint(
            model_name="syncrun",
            constraint=models.UniqueConstraint(condition=models.Q(("state", "running")), fields=("mirror",), name="run_one_at_a_time"),
        ),
        migrations.AddConstraint(
            model_name="upstream",
            constraint=models.UniqueConstraint(fields=("mirror", "position"), name="upstream_position_unique"),
        ),
        migrations.AddIndex(
            model_name="upstreamrevision",
            index=models.Index(fields=["mirror", "subdir", "-id"], name="upstream_revisions"),
        ),
        migrations.AddConstraint(
            model_name="mirrorsubdir",
            constraint=models.UniqueConstraint(fields=("mirror", "subdir"), name="mirror_subdir_unique"),
        ),
    ]
