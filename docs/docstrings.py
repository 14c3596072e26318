"""Docstrings as the API reference shows them: roles become plain code, an example is a section."""

import re
from typing import Any

import griffe

ROLE = re.compile(r":(?:attr|class|data|exc|func|meth|mod):`~?([^`]+)`")
EXAMPLE = re.compile(r"^( *)Example:$", flags=re.MULTILINE)


class Docstrings(griffe.Extension):
    """Rewrites each docstring before its sections are told apart."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Rewrite the docstring of an object, if it has one."""
        if obj.docstring:
            text = ROLE.sub(r"`\1`", obj.docstring.value).replace("``", "`")
            obj.docstring.value = EXAMPLE.sub(r"\1Examples:", text)
