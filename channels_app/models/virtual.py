"""Virtual channels: which channels one is made of, in which order, and which names belong to whom in it."""

from __future__ import annotations

from django.db import models

from channels_app.models.channel import Channel
from channels_app.models.index import Revision


class VirtualChannel(models.Model):
    """How far a virtual channel's index has followed its members.

    followed: {member id: the head that the index takes in}. sources: the ids of all channels that it ever was made of.
    must_rebuild: every name is to be looked at again, as members, reservations, exceptions or rules changed.
    """

    channel = models.OneToOneField(Channel, on_delete=models.CASCADE, related_name="virtual")
    followed = models.JSONField(default=dict)
    sources = models.JSONField(default=list)
    must_rebuild = models.BooleanField(default=False)

    def __str__(self) -> str:
        return str(self.channel)


class VirtualMember(models.Model):
    """A channel that a virtual one shows; position 0 is the highest.

    is_leaving: taken out, and still in the index until that is made anew; who may not read it, may not read the index until then.
    shared_by: the owner of the member who lets every reader of the virtual channel have it; empty where nobody does.
    """

    virtual = models.ForeignKey(Channel, on_delete=models.CASCADE, related_name="virtual_members")
    member = models.ForeignKey(Channel, on_delete=models.CASCADE, related_name="virtual_memberships")
    position = models.PositiveIntegerField(default=0)
    is_leaving = models.BooleanField(default=False)
    shared_by = models.CharField(max_length=200, blank=True)
    shared_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("virtual", "position")
        constraints = (models.UniqueConstraint(fields=["virtual", "member"], name="virtual_member_once"),)

    def __str__(self) -> str:
        return f"{self.member} in {self.virtual}"


class ReservedName(models.Model):
    """Names that belong to one member of a virtual channel before it holds them; member None: to nobody, so that none shows them.

    pattern: a package name, in which * stands for any number of characters.
    """

    virtual = models.ForeignKey(Channel, on_delete=models.CASCADE, related_name="reserved_names")
    member = models.ForeignKey(Channel, null=True, blank=True, on_delete=models.CASCADE, related_name="+")
    pattern = models.CharField(max_length=128)
    reason = models.CharField(max_length=200, blank=True)
    created_by = models.CharField(max_length=200, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = (models.UniqueConstraint(fields=["virtual", "pattern"], name="virtual_reserved_once"),)

    def __str__(self) -> str:
        return self.pattern


class AllowedName(models.Model):
    """A package name whose files a virtual channel shows of all members that hold it, and not of its owner alone."""

    virtual = models.ForeignKey(Channel, on_delete=models.CASCADE, related_name="allowed_names")
    name = models.CharField(max_length=128)
    reason = models.CharField(max_length=200, blank=True)
    created_by = models.CharField(max_length=200, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = (models.UniqueConstraint(fields=["virtual", "name"], name="virtual_allowed_once"),)

    def __str__(self) -> str:
        return self.name


class FormerName(models.Model):
    """A name that a channel once held and of which no file is left: what was owned stays owned."""

    channel = models.ForeignKey(Channel, on_delete=models.CASCADE, related_name="+")
    name = models.CharField(max_length=128)

    class Meta:
        constraints = (models.UniqueConstraint(fields=["channel", "name"], name="former_name_once"),)

    def __str__(self) -> str:
        return self.name


class VirtualRevision(models.Model):
    """The members' revisions that a revision of a virtual channel was made of: {member id: number}."""

    revision = models.OneToOneField(Revision, on_delete=models.CASCADE, related_name="virtual")
    vector = models.JSONField(default=dict)

    def __str__(self) -> str:
        return str(self.vector)


class UnsettledName(models.Model):
    """A name of a virtual channel that is to be looked at again though no member's revision says so."""

    virtual = models.ForeignKey(Channel, on_delete=models.CASCADE, related_name="+")
    name = models.CharField(max_length=128)

    def __str__(self) -> str:
        return self.name


class DueName(models.Model):
    """When the rules of a virtual channel may say something else of a name, without any edit."""

    virtual = models.ForeignKey(Channel, on_delete=models.CASCADE, related_name="+")
    name = models.CharField(max_length=128)
    changes_at = models.DateTimeField()

    class Meta:
        constraints = (models.UniqueConstraint(fields=["virtual", "name"], name="virtual_due_once"),)
        indexes = (models.Index(fields=["changes_at"]),)

    def __str__(self) -> str:
        return self.name
