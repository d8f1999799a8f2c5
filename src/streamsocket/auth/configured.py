"""The users that the settings name."""

from __future__ import annotations

from collections.abc import Mapping

from streamsocket.auth.users import Permissions, User
from streamsocket.settings.model import UserSettings


def configured_users(settings: Mapping[str, UserSettings]) -> dict[str, User]:
    """What `Access` is made from: `Access(configured_users(settings.users))`."""
    return {
        name: User(
            name,
            password_hash=user.password,
            ha1_md5=user.digest_md5,
            ha1_sha256=user.digest_sha256,
            permissions=Permissions(publish=user.publish, watch=user.watch),
        )
        for name, user in settings.items()
    }
