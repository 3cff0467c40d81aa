"""The entry point of `condahub`: which commands there are, and that every end is a sentence and an exit code."""

from __future__ import annotations

import os
import sys

import click

from condahub import __version__
from condahub.cli import exits
from condahub.cli.lazy import LazyGroup

_REMOTE = "condahub.cli.remote"
_COMMANDS = {
    "login": (f"{_REMOTE}.account:login", "Sign in to a hub with an API token."),
    "logout": (f"{_REMOTE}.account:logout", "Forget a hub's token."),
    "whoami": (f"{_REMOTE}.account:whoami", "Who the hub takes you for."),
    "channel": (f"{_REMOTE}.channels:channel", "List, create, change, rename, delete channels."),
    "upload": (f"{_REMOTE}.upload:upload", "Publish packages."),
    "list": (f"{_REMOTE}.files:list_files", "List a channel's files."),
    "copy": (f"{_REMOTE}.files:copy", "Copy or promote files to another channel."),
    "delete": (f"{_REMOTE}.files:delete", "Take files out of a channel's current state."),
    "yank": (f"{_REMOTE}.files:yank", "Take files out of the index; their URLs go on working."),
    "restore": (f"{_REMOTE}.files:restore", "Bring yanked or deleted files back."),
    "quarantine": (f"{_REMOTE}.files:quarantine", "Hold files back until they are released."),
    "release": (f"{_REMOTE}.files:release", "Show files that were held back."),
    "purge": (f"{_REMOTE}.files:purge", "Remove files' bytes from all revisions, for good."),
    "hotfix": (f"{_REMOTE}.files:hotfix", "Change records by patch instructions."),
    "attest": (f"{_REMOTE}.files:attest", "Bring what proves where a package comes from."),
    "policy": (f"{_REMOTE}.policies:policy", "What is shown: rules, previews, what is hidden, releases."),
    "request": (f"{_REMOTE}.requests:request", "Ask for packages that are not shown; approve or refuse."),
    "rollback": (f"{_REMOTE}.channels:rollback", "Make a channel show again what a past state showed."),
    "revisions": (f"{_REMOTE}.channels:revisions", "List a channel's past states."),
    "search": (f"{_REMOTE}.account:search", "Find packages and channels."),
    "token": (f"{_REMOTE}.tokens:token", "List, create, revoke, rotate API tokens."),
    "org": (f"{_REMOTE}.organizations:org", "Organizations, their members and grants."),
    "env": (f"{_REMOTE}.env:env", "Environments: create, build, compare; pull one here, run in it."),
    "jobs": (f"{_REMOTE}.jobs:jobs", "The hub's work: list, show, cancel."),
    "api": (f"{_REMOTE}.account:api", "Ask any path of the REST API."),
    "mirror": ("mirrors_app.cli:mirror", "A hub's mirrors; or copy a channel into a folder, without a hub."),
    "bundle": ("mirrors_app.bundles.cli:bundle", "Check what is carried over an air gap, without a hub."),
    "keys": ("mirrors_app.bundles.cli:keys_group", "Keys that sign bundles, and keys that are trusted."),
    "server": ("condahub.cli.server:server", "Run a hub, or one of its processes (in a checkout or the image)."),
    "admin": ("condahub.cli.server:admin", "Look after the hub of this machine (in a checkout or the image)."),
}
_EPILOG = """\b
Exit codes: 0 done; 1 refused or failed; 2 wrong use; 3 the hub does not answer; 4 not signed in.

\b
Configuration: CONDAHUB_URL, CONDAHUB_TOKEN or CONDAHUB_TOKEN_FILE, CONDAHUB_CONFIG; else what `condahub login` stored."""


@click.group(
    cls=LazyGroup,
    places={name: place for name, (place, _) in _COMMANDS.items()},
    summaries={name: text for name, (_, text) in _COMMANDS.items()},
    epilog=_EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="condahub")
def cli() -> None:
    """Publish, find and look after conda packages on a hub."""


def main() -> None:
    """Run the command line of this process and exit."""
    try:
        status = cli.main(prog_name="condahub", standalone_mode=False)
    except click.exceptions.Abort:
        click.echo("Interrupted.", err=True)
        sys.exit(exits.INTERRUPTED)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except BrokenPipeError:
        # The reader (head, less) has seen enough; nothing more may be flushed to it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    sys.exit(status if isinstance(status, int) else 0)


if __name__ == "__main__":
    main()
