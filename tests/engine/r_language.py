"""Packages laid out as r-base and r-* are: R is a shell script that finds its library, none of it is Python."""

from __future__ import annotations

from tests.engine.channels import PLACEHOLDER, Served

# Stands for R: it says where its home is, and the version of a package out of its library.
R = b"""#!/bin/sh
R_HOME_DIR=%s/lib/R
R_HOME="${R_HOME:-$R_HOME_DIR}"
echo "$R_HOME $(sed -n 's/^Version: //p' "$R_HOME_DIR/library/$1/DESCRIPTION") $R_LIBS_SITE"
"""
ACTIVATE = b'export R_LIBS_SITE="$CONDA_PREFIX/lib/R/site-library"\n'
BINARY = b"\x7fELF\x00%s/lib/R\x00end\x00"


def add_r(channel: Served) -> None:
    """r-base for linux-64 and r-jsonlite 1.8 that needs it."""
    prefix = PLACEHOLDER.encode()
    channel.add_relocatable(
        "r-base",
        {
            "bin/R": (R % prefix, "text"),
            "bin/Rscript": (BINARY % prefix, "binary"),
            "lib/R/etc/Renviron": (b"R_LIBS_USER=%s/lib/R/library\n" % prefix, "text"),
            "etc/conda/activate.d/activate-r-base.sh": (ACTIVATE, "text"),
        },
    )
    library = "lib/R/library/jsonlite"
    channel.add("r-jsonlite", "1.8", depends=["r-base"], files={f"{library}/DESCRIPTION": b"Package: jsonlite\nVersion: 1.8\n"})
