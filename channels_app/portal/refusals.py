"""What the services of channels refuse with, in the page's language, as far as it is met on pages."""

from __future__ import annotations

from django.utils.translation import gettext, gettext_noop

from channels_app.portal import stored, words
from condahub.portal.stored import teller

# As the services write them, the special before the general.
_SENTENCES = (
    # Publishing.
    gettext_noop("The channel '%(name)s' does not allow files to be overwritten."),
    gettext_noop("Publish under a new build number, or let an owner allow overwriting in the channel's settings."),
    gettext_noop("Publish it under a new build number, or let an owner allow overwriting in the channel's settings."),
    gettext_noop("Publish it under a new build number. An owner can allow overwriting, and then 'force' replaces it."),
    gettext_noop("Publish it under a new build number."),
    gettext_noop("'%(name)s' is a virtual channel: it shows what its members hold."),
    gettext_noop("'%(name)s' is a %(kind)s channel: packages come to it by its mirror."),
    gettext_noop("'%(file)s' does not say which platform it is for."),
    gettext_noop("Rebuild it with 'subdir' in info/index.json."),
    gettext_noop("'%(file)s' came twice in this batch with different bytes."),
    gettext_noop("'%(file)s' was purged: %(reason)s"),
    gettext_noop("'%(file)s' was in '%(name)s' with other bytes (sha256 %(hash)s…) and is %(state)s now."),
    gettext_noop("'%(file)s' is already in '%(name)s' with other bytes (sha256 %(hash)s…)."),
    gettext_noop("'%(file)s' is held: %(reason)s"),
    gettext_noop("It must be released or purged first."),
    gettext_noop("%(more)s bytes do not fit: '%(name)s' has room for %(room)s more."),
    gettext_noop("'%(name)s' may hold %(most)s bytes, and this would make %(sum)s."),
    # Files and copies.
    gettext_noop("There is no '%(file)s' to %(verb)s in '%(name)s'."),
    gettext_noop("There is no '%(file)s' in '%(name)s'."),
    gettext_noop("The bytes of '%(file)s' have not come to '%(name)s' yet."),
    gettext_noop("Download it from there once; nothing was copied."),
    gettext_noop("'%(file)s' is %(state)s by policy. %(policy)s"),
    gettext_noop("'%(file)s' is %(state)s in '%(name)s'."),
    gettext_noop("Nothing was copied. It comes back there by restoring or releasing it."),
    gettext_noop("Its state does not allow this."),
    # The past.
    gettext_noop("'%(name)s' has no revision %(number)s."),
    gettext_noop("Old revisions are not kept for ever."),
    gettext_noop("'since' must not be past the revision itself."),
    gettext_noop("Ask for revision %(number)s since %(since)s."),
    gettext_noop("One of the revisions is not kept any more."),
    gettext_noop("More than %(many)s files differ between these revisions."),
    gettext_noop("Ask for revisions that are nearer to each other."),
    gettext_noop("More than %(many)s files differ."),
    gettext_noop("Roll back in steps, to nearer revisions."),
    gettext_noop("'%(name)s' follows others."),
    gettext_noop("Only a hosted channel can be rolled back."),
    gettext_noop("'%(name)s' is no tag."),
    gettext_noop("Letters, digits, '.', '_' and '-', at most 100."),
    gettext_noop("'%(name)s' was made after that."),
    gettext_noop("Choose a day from %(day)s on."),
    gettext_noop("The channel belonged to another organization then."),
    gettext_noop("Ask IT: they may read every trail."),
    # Policy and requests.
    gettext_noop("The rules can't be read: %(error)s."),
    gettext_noop("'%(name)s' is neither a glob of a name nor a MatchSpec of name, version and build."),
    gettext_noop("'%(name)s' is not one SPDX identifier."),
    gettext_noop("Rules are %(rules)s; docs/policies.md shows each of them with an example."),
    gettext_noop("Policy hides nothing that '%(what)s' means in '%(name)s'."),
    gettext_noop("A rule of the %(level)s keeps it back, and only its keeper can waive that."),
    gettext_noop("The rule is on %(rules)s."),
    gettext_noop("It was %(answered)s by %(who)s."),
    # Virtual channels.
    gettext_noop("'%(name)s' is no virtual channel."),
    gettext_noop("Make one: condahub channel virtual create."),
    gettext_noop("'%(package)s' is not merged in '%(name)s'."),
    gettext_noop("'%(member)s' is no member of '%(name)s'."),
    gettext_noop("Name one of its members."),
    gettext_noop("'%(name)s' has no such reservation."),
    gettext_noop("Name 1 to %(most)s names at once."),
    gettext_noop("A virtual channel has at most %(most)s reservations with a *."),
    gettext_noop("A virtual channel with '%(member)s' in it can't be %(visibility)s: fewer people may read that."),
    gettext_noop("Make the virtual channel no more open than its members, or let an owner of that channel share it there."),
    gettext_noop("'%(file)s' is %(state)s."),
)
_FORMS = {
    "number": r"\d+",
    "since": r"\d+",
    "most": r"[\d,]+",
    "many": r"[\d,]+",
    "kind": r"\w+",
    "verb": r"\w+",
    "state": "live|yanked|held|deleted|purged|aside|denied",
    "answered": "approved|refused",
    "level": "installation|organization|channel",
    "visibility": "public|internal|private",
}
_DENIED = gettext_noop("denied")
_ANSWERED = {"approved": gettext_noop("approved"), "refused": gettext_noop("refused")}


def _said(gap: str, value: str) -> str:
    if gap == "policy":
        return stored.reason(value)
    if gap == "answered":
        return gettext(_ANSWERED[value])
    if gap == "state" and value == "denied":
        return gettext(_DENIED)
    tables = {"state": words.FILE_STATES, "level": words.LEVELS, "visibility": words.VISIBILITIES_INSIDE}
    return str(tables[gap].get(value, value)) if gap in tables else value


told = teller(_SENTENCES, forms=_FORMS, said=_said)
