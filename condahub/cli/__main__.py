"""`python -m condahub.cli` is `condahub`."""

from condahub.cli.main import main

main()
