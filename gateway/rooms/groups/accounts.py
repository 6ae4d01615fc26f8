"""What is known of users of the old IM over a restart: what they say of themselves, and who is logged in.

Bounded: profiles that were not touched for longest go first; logins are bounded by who makes them (the face).
"""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Collection
from typing import Final

from gateway.rooms.groups.values import LoginRecord, Profile

MAX_PROFILES: Final = 50000


class Accounts:
    """See the module. Use it from one thread."""

    def __init__(self) -> None:
        self._profiles: collections.OrderedDict[tuple[int, str], Profile] = collections.OrderedDict()
        self._logins: dict[str, LoginRecord] = {}
        self._changed: dict[tuple[int, str], Profile | None] = {}
        self._changed_logins: dict[str, LoginRecord | None] = {}

    def profile(self, app: int, user_id: str) -> Profile:
        """Return what is known; an empty profile for a user of whom nothing is."""
        return self._profiles.get((app, user_id)) or Profile(app, user_id)

    def is_known(self, app: int, user_id: str) -> bool:
        return (app, user_id) in self._profiles

    def change(
        self, app: int, user_id: str, *, nick: str | None = None, image: str | None = None, proven: bool | None = None
    ) -> None:
        """Set what is given; the user is known from now on. The caller bounds the texts."""
        key, old = (app, user_id), self.profile(app, user_id)
        new = dataclasses.replace(
            old,
            nick=old.nick if nick is None else nick,
            image=old.image if image is None else image,
            proven=old.proven if proven is None else proven,
        )
        if new != old or key not in self._profiles:
            self._profiles[key] = self._changed[key] = new
        self._profiles.move_to_end(key)
        if len(self._profiles) > MAX_PROFILES:
            gone, _ = self._profiles.popitem(last=False)
            self._changed[gone] = None

    @property
    def logins(self) -> Collection[LoginRecord]:
        return self._logins.values()

    def keep_login(self, login: LoginRecord) -> None:
        """Note a login, or what it has become."""
        if self._logins.get(login.digest) != login:
            self._logins[login.digest] = self._changed_logins[login.digest] = login

    def drop_login(self, digest: str) -> None:
        if self._logins.pop(digest, None) is not None:
            self._changed_logins[digest] = None

    # --- lasting

    def take_changes(self) -> tuple[dict[tuple[int, str], Profile | None], dict[str, LoginRecord | None]]:
        """Return the profiles and the logins that changed since the last call."""
        changed, self._changed = self._changed, {}
        logins, self._changed_logins = self._changed_logins, {}
        return changed, logins

    def restore(self, profiles: Collection[Profile], logins: Collection[LoginRecord]) -> None:
        for profile in profiles:
            self._profiles[(profile.app, profile.user_id)] = profile
        self._logins.update((login.digest, login) for login in logins)
