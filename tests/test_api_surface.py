"""The public names and their signatures; a change of one is a change of api_surface.json."""

import inspect
import json
import os
from pathlib import Path

import torchreid_adv as adv

RECORDED = Path(__file__).with_name("api_surface.json")


def surface() -> dict[str, str]:
    found = {}
    for name in sorted(adv.__all__):
        thing = getattr(adv, name)
        if isinstance(thing, type) and issubclass(thing, Exception):
            found[name] = f"error {thing.exit_code}"
        elif inspect.isclass(thing) or inspect.isfunction(thing):
            found[name] = "class" if inspect.isclass(thing) else "function"
            parameters = inspect.signature(thing).parameters.values()
            found[name] += f"({', '.join(p.name for p in parameters)})"
        else:
            found[name] = type(thing).__name__
    return found


def test_the_public_names_are_the_recorded_ones():
    now = surface()
    if os.environ.get("UPDATE_API_SURFACE"):
        RECORDED.write_text(json.dumps(now, indent=1) + "\n")
    assert now == json.loads(RECORDED.read_text()), (
        "the public interface changed; if that is meant, run UPDATE_API_SURFACE=1 pytest "
        "tests/test_api_surface.py and say so in CHANGELOG.md"
    )


def test_an_unknown_name_is_an_attribute_error():
    assert not hasattr(adv, "no_such_name")


def test_public_classes_and_functions_have_docstrings():
    for name in adv.__all__:
        thing = getattr(adv, name)
        if inspect.isclass(thing) or inspect.isfunction(thing):
            assert inspect.getdoc(thing), name
