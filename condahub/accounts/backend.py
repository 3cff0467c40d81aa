"""The policy as a Django authentication backend: `user.has_perm("channel:read", channel)`."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.backends import BaseBackend
from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.models import AnonymousUser

from condahub.accounts.models import User
from condahub.accounts.policy import AccessTarget, Actor, HasAccessTarget, Permission, can


class PolicyBackend(BaseBackend):
    """Answers for the hub's own permissions alone; Django's `app_label.codename` ones are left to Django's backend."""

    def has_perm(self, user_obj: AbstractBaseUser | AnonymousUser, perm: str, obj: Any = None) -> bool:
        try:
            permission = Permission(perm)
        except ValueError:
            return False
        if not isinstance(obj, (AccessTarget, HasAccessTarget)):
            return False
        return can(Actor.of(user_obj if isinstance(user_obj, User) else None), permission, obj)
