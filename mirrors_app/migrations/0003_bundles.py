"""Keys, bundles made and taken, and how far each channel was brought by them."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("channels", "0003_lean_indexes"),
        ("mirrors", "0002_lazy_demands"),
    ]

    operations = [
        migrations.CreateModel(
            name="BundleExport",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("sequence", models.PositiveIntegerField()),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("waiting", "Waiting"),
                            ("running", "Running"),
                            ("ready", "Ready"),
                            ("failed", "Failed"),
                            ("deleted", "Deleted"),
                        ],
                        default="waiting",
                        max_length=8,
                    ),
                ),
                ("revision", models.BigIntegerField()),
                ("state_digest", models.CharField(blank=True, max_length=64)),
                ("base_revision", models.BigIntegerField(default=0)),
                ("base_digest", models.CharField(blank=True, max_length=64)),
                ("previous", models.CharField(blank=True, max_length=64)),
                ("environment", models.CharField(blank=True, max_length=200)),
                ("include", models.JSONField(default=list)),
                ("part_bytes", models.BigIntegerField()),
                ("planned", models.CharField(blank=True, max_length=64)),
                ("left_out", models.JSONField(default=list)),
                ("counts", models.JSONField(default=dict)),
                ("manifest_sha256", models.CharField(blank=True, max_length=64)),
                ("manifest_size", models.BigIntegerField(default=0)),
                ("signature", models.CharField(blank=True, max_length=128)),
                ("size", models.BigIntegerField(default=0)),
                ("job_id", models.BigIntegerField(blank=True, null=True)),
                ("error_code", models.CharField(blank=True, max_length=64)),
                ("error_sentence", models.CharField(blank=True, max_length=2000)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("created_by", models.CharField(max_length=200)),
                ("ready_at", models.DateTimeField(blank=True, null=True)),
                (
                    "channel",
                    models.ForeignKey(
                        db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name="bundle_exports", to="channels.channel"
                    ),
                ),
            ],
            options={
                "ordering": ("-id",),
            },
        ),
        migrations.CreateModel(
            name="BundleHead",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("stream", models.CharField(max_length=32)),
                ("source_name", models.CharField(max_length=200)),
                ("sequence", models.PositiveIntegerField()),
                ("revision", models.BigIntegerField()),
                ("state_digest", models.CharField(max_length=64)),
                ("manifest_sha256", models.CharField(max_length=64)),
                ("changed_at", models.DateTimeField(auto_now=True)),
                (
                    "channel",
                    models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, related_name="bundle_head", to="channels.channel"),
                ),
            ],
        ),
        migrations.CreateModel(
            name="BundleImport",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("receiving", "Receiving"),
                            ("ready", "Ready"),
                            ("running", "Running"),
                            ("done", "Done"),
                            ("unchanged", "Unchanged"),
                            ("refused", "Refused"),
                            ("failed", "Failed"),
                            ("cancelled", "Cancelled"),
                        ],
                        default="receiving",
                        max_length=9,
                    ),
                ),
                ("folder", models.CharField(blank=True, max_length=1000)),
                ("options", models.JSONField(default=dict)),
                ("signature", models.CharField(blank=True, max_length=128)),
                ("manifest_sha256", models.CharField(blank=True, max_length=64)),
                ("signer", models.CharField(blank=True, max_length=64)),
                ("stream", models.CharField(blank=True, max_length=32)),
                ("sequence", models.PositiveIntegerField(default=0)),
                ("source_name", models.CharField(blank=True, max_length=200)),
                ("source_revision", models.BigIntegerField(default=0)),
                ("size", models.BigIntegerField(default=0)),
                ("result", models.JSONField(default=dict)),
                ("revision", models.BigIntegerField(blank=True, null=True)),
                ("job_id", models.BigIntegerField(blank=True, null=True)),
                ("error_code", models.CharField(blank=True, max_length=64)),
                ("error_sentence", models.CharField(blank=True, max_length=2000)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("created_by", models.CharField(max_length=200)),
                ("ended_at", models.DateTimeField(blank=True, null=True)),
                (
                    "channel",
                    models.ForeignKey(
                        db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name="bundle_imports", to="channels.channel"
                    ),
                ),
            ],
            options={
                "ordering": ("-id",),
            },
        ),
        migrations.CreateModel(
            name="BundlePart",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("number", models.PositiveIntegerField()),
                ("sha256", models.CharField(db_index=True, max_length=64)),
                ("size", models.BigIntegerField()),
                ("members", models.BinaryField()),
                (
                    "export",
                    models.ForeignKey(
                        db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name="parts", to="mirrors.bundleexport"
                    ),
                ),
            ],
            options={
                "ordering": ("export_id", "number"),
            },
        ),
        migrations.CreateModel(
            name="BundlePiece",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("name", models.CharField(max_length=20)),
                ("sha256", models.CharField(db_index=True, max_length=64)),
                ("size", models.BigIntegerField()),
                (
                    "taken_by",
                    models.ForeignKey(
                        db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name="pieces", to="mirrors.bundleimport"
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="BundleStream",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("subject", models.CharField(blank=True, max_length=200)),
                ("uid", models.CharField(max_length=32, unique=True)),
                ("last_sequence", models.PositiveIntegerField(default=0)),
                (
                    "channel",
                    models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name="+", to="channels.channel"),
                ),
            ],
        ),
        migrations.AddField(
            model_name="bundleexport",
            name="stream",
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name="exports", to="mirrors.bundlestream"),
        ),
        migrations.CreateModel(
            name="BundleVerified",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("path", models.CharField(max_length=400)),
                ("sha256", models.CharField(max_length=64)),
                ("md5", models.CharField(max_length=32)),
                ("size", models.BigIntegerField()),
                ("at", models.DateTimeField()),
                (
                    "taken_by",
                    models.ForeignKey(
                        db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name="verified", to="mirrors.bundleimport"
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="SigningKey",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("name", models.CharField(max_length=100, unique=True)),
                ("public", models.CharField(max_length=64, unique=True)),
                ("sealed", models.TextField(editable=False)),
                ("rotation", models.JSONField(default=dict, editable=False)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("created_by", models.CharField(max_length=200)),
                ("signs", models.BooleanField(default=True, help_text="The one key that signs new bundles.")),
                ("revoked_at", models.DateTimeField(blank=True, null=True)),
                (
                    "follows",
                    models.ForeignKey(
                        blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="mirrors.signingkey"
                    ),
                ),
            ],
            options={
                "ordering": ("-id",),
            },
        ),
        migrations.AddField(
            model_name="bundleexport",
            name="key",
            field=models.ForeignKey(
                blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="mirrors.signingkey"
            ),
        ),
        migrations.CreateModel(
            name="TrustedKey",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("name", models.CharField(max_length=100)),
                ("public", models.CharField(max_length=64, unique=True)),
                ("added_at", models.DateTimeField(auto_now_add=True)),
                ("added_by", models.CharField(max_length=200)),
                ("revoked_at", models.DateTimeField(blank=True, null=True)),
                ("revoked_by", models.CharField(blank=True, max_length=200)),
                (
                    "follows",
                    models.ForeignKey(
                        blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name="+", to="mirrors.trustedkey"
                    ),
                ),
            ],
            options={
                "ordering": ("-id",),
            },
        ),
        migrations.AddIndex(
            model_name="bundleimport",
            index=models.Index(fields=["channel", "-id"], name="bundle_imports_of_channel"),
        ),
        migrations.AddConstraint(
            model_name="bundlepart",
            constraint=models.UniqueConstraint(fields=("export", "number"), name="bundle_part_once"),
        ),
        migrations.AddConstraint(
            model_name="bundlepiece",
            constraint=models.UniqueConstraint(fields=("taken_by", "name"), name="bundle_piece_once"),
        ),
        migrations.AddConstraint(
            model_name="bundlestream",
            constraint=models.UniqueConstraint(fields=("channel", "subject"), name="bundle_stream_once"),
        ),
        migrations.AddConstraint(
            model_name="bundleverified",
            constraint=models.UniqueConstraint(fields=("taken_by", "path"), name="bundle_verified_once"),
        ),
        migrations.AddConstraint(
            model_name="signingkey",
            constraint=models.UniqueConstraint(condition=models.Q(("signs", True)), fields=("signs",), name="signing_key_one_signs"),
        ),
        migrations.AddIndex(
            model_name="bundleexport",
            index=models.Index(fields=["channel", "-id"], name="bundle_exports_of_channel"),
        ),
        migrations.AddConstraint(
            model_name="bundleexport",
            constraint=models.UniqueConstraint(fields=("stream", "sequence"), name="bundle_export_sequence"),
        ),
    ]
