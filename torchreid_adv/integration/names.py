"""What to say of a name that torchreid does not know."""

from __future__ import annotations

from collections.abc import Iterable

from torchreid_adv import registry
from torchreid_adv.errors import ConfigError


def unknown(kind: str, name: str, known: Iterable[str]) -> ConfigError:
    """Return the error for an unknown name, with the nearest known one.

    A name with a dot is a config key that a flag of several values took for one of them.
    """
    if "." in name:
        return ConfigError(
            f"'{name}' was taken as a {kind}: a flag that takes several values swallows the "
            "'KEY VALUE' pairs after it; put another flag, such as --root, between them"
        )
    return registry.unknown(kind.removeprefix("image ").removeprefix("video "), name, known)
