"""Files of the Hugging Face hub, cached or downloaded, identified by their commit."""

from __future__ import annotations

import logging
import os
from pathlib import Path

from torchreid_adv.errors import ConfigError

LOG = logging.getLogger("torchreid_adv")
_PREFIX = "hf:"


def local_file(source: str | Path) -> Path:
    """Return the path of a local file, or of a hub file if it begins with ``hf:``.

    Args:
        source: a path, or ``hf:ORG/NAME/FILE``, also ``hf:ORG/NAME@REVISION/FILE``; a revision is a
            commit's hash, a branch or a tag. The log shows the hash in use.

    Raises:
        ConfigError: huggingface_hub is not installed, or the file is missing.
    """
    text = str(source)
    if not text.startswith(_PREFIX):
        return Path(os.path.expanduser(text))
    organization, _, remainder = text[len(_PREFIX) :].partition("/")
    name, _, file = remainder.partition("/")
    name, _, revision = name.partition("@")
    if not (organization and name and file):
        raise ConfigError(f"a file of the hub is written hf:ORG/NAME/FILE, got '{text}'")
    return _from_hub(f"{organization}/{name}", file, revision or None)


def _from_hub(repository: str, file: str, revision: str | None) -> Path:
    try:
        from huggingface_hub import hf_hub_download
        from huggingface_hub.errors import LocalEntryNotFoundError
    except ImportError as error:
        raise ConfigError(
            f"'{repository}/{file}' is on the Hugging Face hub, which needs the package "
            "'huggingface_hub'; pip install huggingface_hub, or give a local file"
        ) from error
    try:
        path = Path(hf_hub_download(repository, file, revision=revision))
    except LocalEntryNotFoundError as error:
        raise ConfigError(
            f"'{file}' of '{repository}' is not in the cache of huggingface_hub and cannot be "
            "fetched now; give a local file, or fetch it while the hub can be reached"
        ) from error
    except Exception as error:  # the client may raise anything: missing repository, no access...
        reason = " ".join(str(error).split())[:200]
        raise ConfigError(f"the hub does not give '{file}' of '{repository}': {reason}") from error
    LOG.info("%s of %s: commit %s", file, repository, path.parts[-1 - len(Path(file).parts)])
    return path
