from django.db import migrations

from condahub.audit.triggers import install_by_migration, remove_by_migration


class Migration(migrations.Migration):
    dependencies = [("audit", "0001_initial")]

    operations = [migrations.RunPython(install_by_migration, remove_by_migration, elidable=False)]
