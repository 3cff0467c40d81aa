"""The scripts that travel with a packed environment: activate, deactivate, conda-unpack, and the head of an installer."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence

SHELL_PAYLOAD_MARK = "__THE_ENVIRONMENT_FOLLOWS__"

# Read by sh up to the quotes, by Python as a string: an environment without a Python of its own, as R's are, finds another,
# else Perl, which begins at the line that names it (perlrun, -x).
_UNPACK = r"""#!/bin/sh
'''':
here=$(cd "$(dirname "$0")" && pwd) || exit 1
for python in "$here/python" "$here/python3" python3 python; do
    if command -v "$python" >/dev/null 2>&1; then exec "$python" -I -S "$0" "$@"; fi
done
if command -v perl >/dev/null 2>&1; then CONDA_UNPACK_HERE=$(dirname "$here") exec perl -x "$0" "$@"; fi
echo "conda-unpack: there is no Python and no Perl to run with, neither here nor on the PATH" >&2
exit 1
'''
import argparse
import json
import os
import re
import stat
import subprocess
import sys

# How files begin that macOS runs only if they are signed as they are; those for several processors differ from Java's by the fifth byte on.
MACH_O = re.compile(br"[\xce\xcf]\xfa\xed\xfe|\xca\xfe\xba\xbe\0\0\0[\1-\x1f]")
SIGN = ["/usr/bin/codesign", "--sign", "-", "--force", "--preserve-metadata=identifier,entitlements,requirements"]
# Path, what stands there for the environment's own path, and whether it may change in length ("text") or not ("binary").
PLACEHOLDERS = json.loads(r'''@PLACEHOLDERS@''')
RECORDS = json.loads(r'''@RECORDS@''')


def replaced(data, placeholder, prefix, mode):
    if mode == "text":
        return data.replace(placeholder, prefix)
    if len(prefix) > len(placeholder):
        raise SystemExit("conda-unpack: the path of the environment is longer than the %d bytes there is room for" % len(placeholder))

    def pad(match):
        found = match.group()
        padding = (len(placeholder) - len(prefix)) * found.count(placeholder)
        return found.replace(placeholder, prefix) + b"\0" * padding

    return re.sub(re.escape(placeholder) + b"([^\0]*?)\0", pad, data)


def rewrite(path, placeholder, prefix, mode):
    with open(path, "rb") as file:
        data = file.read()
    fresh = replaced(data, placeholder, prefix, mode)
    if fresh == data:
        return
    part = path + ".conda-unpack"
    with open(part, "wb") as file:
        file.write(fresh)
    os.chmod(part, stat.S_IMODE(os.lstat(path).st_mode))
    if sys.platform == "darwin" and MACH_O.match(fresh):
        done = subprocess.run(SIGN + [part], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        if done.returncode:
            raise SystemExit("conda-unpack: %s can't be signed: %s" % (path, done.stdout.decode("utf-8", "replace")))
    os.replace(part, path)


def main():
    parser = argparse.ArgumentParser(prog="conda-unpack", description="Write an environment's path into its files.")
    parser.add_argument("--prefix", help="the path it will have, if that is not where it is")
    parser.add_argument("--version", action="version", version="conda-unpack 1 (condahub)")
    asked = parser.parse_args()
    here = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    prefix = os.fsencode(asked.prefix or here)
    for path, number, mode in RECORDS:
        rewrite(os.path.join(here, path), PLACEHOLDERS[number].encode(), prefix, mode)


if __name__ == "__main__":
    main()

r'''
#!/usr/bin/perl
use strict;
use warnings;
my $here = $ENV{CONDA_UNPACK_HERE};
my $prefix = $here;
while (@ARGV) {
    my $word = shift @ARGV;
    if ($word eq "--prefix" && @ARGV) { $prefix = shift @ARGV; }
    elsif ($word =~ /^--prefix=(.+)/s) { $prefix = $1; }
    else { die "usage: conda-unpack [--prefix PREFIX]\n"; }
}
sub content { my ($path) = @_; open(my $file, "<:raw", $path) or die "$path: $!\n"; local $/; my $data = <$file>; return $data; }
sub plain {
    my ($text) = @_;
    $text =~ s/\\u(d[89ab]..)\\u(d[c-f]..)/chr(0x10000 + ((hex($1) & 0x3ff) << 10) + (hex($2) & 0x3ff))/gei;
    $text =~ s/\\(?:u(....)|(.))/defined $1 ? chr(hex($1)) : {n => "\n", t => "\t", r => "\r", b => "\b", f => "\f"}->{$2} || $2/ge;
    utf8::encode($text);
    return $text;
}
sub padded {
    my ($found, $placeholder, $room) = @_;
    my $count = $found =~ s/\Q$placeholder\E/$prefix/g;
    return $found . "\0" x ($room * $count + 1);
}
my $table = content($0);
my ($placeholders) = $table =~ /^PLACEHOLDERS = json.loads\(r.{3}(.*)\)$/m;
my @placeholders = map { plain($_) } $placeholders =~ /"((?:[^"\\]|\\.)*)"/g;
while ($table =~ /\["((?:[^"\\]|\\.)*)", (\d+), "(text|binary)"\]/g) {
    my ($path, $placeholder, $mode) = ("$here/" . plain($1), $placeholders[$2], $3);
    my $data = content($path);
    my $fresh = $data;
    if ($mode eq "text") { $fresh =~ s/\Q$placeholder\E/$prefix/g; }
    else {
        my $room = length($placeholder) - length($prefix);
        die "conda-unpack: the path of the environment is longer than there is room for\n" if $room < 0;
        $fresh =~ s/(\Q$placeholder\E[^\0]*?)\0/padded($1, $placeholder, $room)/ge;
    }
    next if $fresh eq $data;
    my $part = "$path.conda-unpack";
    open(my $file, ">:raw", $part) or die "$part: $!\n";
    print $file $fresh and close($file) or die "$part: $!\n";
    chmod((stat($path))[2] & 07777, $part) or die "$path: $!\n";
    if ($^O eq "darwin" && $fresh =~ /^(?:[\xce\xcf]\xfa\xed\xfe|\xca\xfe\xba\xbe\0\0\0[\1-\x1f])/) {
        system("/usr/bin/codesign", "--sign", "-", "--force", "--preserve-metadata=identifier,entitlements,requirements", $part) == 0
            or die "conda-unpack: $path can't be signed\n";
    }
    rename($part, $path) or die "$path: $!\n";
}
__END__
'''
"""

_ACTIVATE = r"""# To be sourced: . bin/activate   (sh, dash, bash, ksh, zsh)
if [ -n "${CONDAHUB_ENV_PREFIX:-}" ]; then . "$CONDAHUB_ENV_PREFIX/bin/deactivate"; fi
if [ -n "${BASH_SOURCE:-}" ]; then
    _condahub_script="$BASH_SOURCE"
elif [ -n "${ZSH_VERSION:-}" ]; then
    eval '_condahub_script="${(%):-%x}"'
else
    _condahub_script="${CONDAHUB_ACTIVATE:-bin/activate}"
fi
_condahub_prefix="$(cd "$(dirname "$_condahub_script")/.." >/dev/null 2>&1 && pwd)"
if [ ! -e "$_condahub_prefix/bin/conda-unpack" ]; then
    echo "activate: call it as '. <environment>/bin/activate', in a plain sh from inside of the environment's folder" >&2
    unset _condahub_script _condahub_prefix
    return 1
fi
CONDAHUB_ENV_PREFIX="$_condahub_prefix"
CONDAHUB_ENV_OLD_PATH="$PATH"
CONDAHUB_ENV_OLD_PS1="${PS1:-}"
export CONDA_PREFIX="$_condahub_prefix"
export CONDA_DEFAULT_ENV="$(basename "$_condahub_prefix")"
export CONDA_SHLVL=1
export PATH="$_condahub_prefix/bin:$PATH"
if [ -n "${PS1:-}" ]; then PS1="($CONDA_DEFAULT_ENV) $PS1"; fi
@SET@if [ -d "$CONDA_PREFIX/etc/conda/activate.d" ]; then
    for _condahub_script in $(ls "$CONDA_PREFIX/etc/conda/activate.d"); do
        case "$_condahub_script" in *.sh) . "$CONDA_PREFIX/etc/conda/activate.d/$_condahub_script" ;; esac
    done
fi
hash -r 2>/dev/null || true
unset _condahub_script _condahub_prefix
"""

_DEACTIVATE = r"""# To be sourced: . bin/deactivate
if [ -n "${CONDAHUB_ENV_PREFIX:-}" ]; then
    if [ -d "$CONDAHUB_ENV_PREFIX/etc/conda/deactivate.d" ]; then
        for _condahub_script in $(ls -r "$CONDAHUB_ENV_PREFIX/etc/conda/deactivate.d"); do
            case "$_condahub_script" in *.sh) . "$CONDAHUB_ENV_PREFIX/etc/conda/deactivate.d/$_condahub_script" ;; esac
        done
        unset _condahub_script
    fi
    PATH="$CONDAHUB_ENV_OLD_PATH"
    export PATH
    if [ -n "$CONDAHUB_ENV_OLD_PS1" ]; then PS1="$CONDAHUB_ENV_OLD_PS1"; fi
@UNSET@    unset CONDA_PREFIX CONDA_DEFAULT_ENV CONDA_SHLVL CONDAHUB_ENV_PREFIX CONDAHUB_ENV_OLD_PATH CONDAHUB_ENV_OLD_PS1
    hash -r 2>/dev/null || true
fi
"""

_INSTALLER = r"""#!/bin/sh
# Installs the environment @NAME@. Nothing is fetched: it all lies behind this script.
set -eu
NAME=@QUOTED_NAME@
SHA256=@SHA256@
SIZE_BYTES=@SIZE@
PREFIX=""
BATCH=0
usage() {
    echo "Usage: sh $(basename "$0") [-b] [-p <folder>]"
    echo "  -p  where the environment goes; must not exist (default: $HOME/$NAME)"
    echo "  -b  ask nothing"
}
while getopts "bp:h" option; do
    case "$option" in
        b) BATCH=1 ;;
        p) PREFIX="$OPTARG" ;;
        h) usage; exit 0 ;;
        *) usage >&2; exit 2 ;;
    esac
done
if [ -z "$PREFIX" ]; then
    PREFIX="$HOME/$NAME"
    if [ "$BATCH" = 0 ] && [ -t 0 ]; then
        printf 'Install the environment %s into [%s]: ' "$NAME" "$PREFIX"
        read -r answer
        if [ -n "$answer" ]; then PREFIX="$answer"; fi
    fi
fi
case "$PREFIX" in /*) ;; *) PREFIX="$PWD/$PREFIX" ;; esac
PREFIX="${PREFIX%/}"
if [ -e "$PREFIX" ]; then echo "$PREFIX exists already." >&2; exit 1; fi
payload() { tail -n +"$((LINE + 1))" "$0"; }
LINE=$(awk '/^@MARK@$/ { print NR; exit }' "$0")
if [ "$(payload | wc -c | tr -d ' ')" != "$SIZE_BYTES" ]; then echo "The installer is not whole: fetch it again." >&2; exit 1; fi
SUM=""
if command -v sha256sum >/dev/null 2>&1; then
    SUM=$(payload | sha256sum | cut -d ' ' -f 1)
elif command -v shasum >/dev/null 2>&1; then
    SUM=$(payload | shasum -a 256 | cut -d ' ' -f 1)
fi
if [ -n "$SUM" ] && [ "$SUM" != "$SHA256" ]; then echo "The installer is damaged: fetch it again." >&2; exit 1; fi
PART="$PREFIX.part-$$"
trap 'rm -rf "$PART"' EXIT
trap 'exit 1' HUP INT TERM
mkdir -p "$PART"
payload | gzip -dc | (cd "$PART" && tar -xf -)
"$PART/bin/conda-unpack" --prefix "$PREFIX"
mv "$PART" "$PREFIX"
echo "The environment $NAME is in $PREFIX. To use it: . '$PREFIX/bin/activate'"
exit 0
@MARK@
"""


def unpack_script(table: Sequence[tuple[str, str, str]]) -> bytes:
    """bin/conda-unpack for these (path, placeholder, mode)."""
    placeholders = sorted({placeholder for _, placeholder, _ in table})
    number = {placeholder: index for index, placeholder in enumerate(placeholders)}
    records = [[path, number[placeholder], mode] for path, placeholder, mode in sorted(table)]
    return (_UNPACK.replace("@PLACEHOLDERS@", _json(placeholders)).replace("@RECORDS@", _json(records).replace("], [", "],\n["))).encode()


def _json(value: object) -> str:
    # Inside a raw string in triple quotes: neither a quote nor a backslash may end it, which JSON can write as \u0027.
    return json.dumps(value).replace("'", "\\u0027")


def activate_script(variables: Mapping[str, str]) -> bytes:
    """bin/activate, which sets these variables too."""
    lines = "".join(f"export {name}={shlex.quote(value)}\n" for name, value in sorted(variables.items()))
    return _ACTIVATE.replace("@SET@", lines).encode()


def deactivate_script(variables: Mapping[str, str]) -> bytes:
    """bin/deactivate, which forgets these variables."""
    lines = f"    unset {' '.join(sorted(variables))}\n" if variables else ""
    return _DEACTIVATE.replace("@UNSET@", lines).encode()


def installer_head(*, name: str, sha256: str, size: int) -> bytes:
    """What comes before the .tar.gz (of this digest and size in bytes) in a self-extracting installer."""
    head = _INSTALLER.replace("@NAME@", " ".join(name.split())).replace("@QUOTED_NAME@", shlex.quote(name))
    return head.replace("@SHA256@", sha256).replace("@SIZE@", str(size)).replace("@MARK@", SHELL_PAYLOAD_MARK).encode()
