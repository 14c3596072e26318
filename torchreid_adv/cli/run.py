"""``torchreid-adv run SCRIPT ...``: a torchreid training script, unmodified, with our names."""

from __future__ import annotations

import ast
import contextlib
import importlib.util
import runpy
import sys
from collections.abc import Callable, Iterator
from functools import wraps
from pathlib import Path
from types import ModuleType

from torchreid_adv import config
from torchreid_adv.cli.help_text import Usage
from torchreid_adv.errors import ConfigError
from torchreid_adv.integration.layout import alias, alias_from_environment
from torchreid_adv.registry import COMMANDS

alias_from_environment()  # in a worker of a program that calls main() itself

USAGE = Usage(
    examples=(
        "run scripts/main.py --config-file my.yaml adv.engine metric_attack",
        "run scripts/main.py --config-file my.yaml --transforms random_flip diversity",
    ),
    writes="The files of the script.",
    time="The time of the script, plus that of adv.engine.",
)
ABOUT = """usage: torchreid-adv run SCRIPT [ARGUMENTS OF THE SCRIPT]

Run a training script of torchreid without changes, such as scripts/main.py of
deep-person-reid. Its config can use adv.* keys and the transforms, samplers,
data sets, models and engines of this package. This also works with torchreid
from PyPI, where torchreid.utils is torchreid.reid.utils.
"""
SIBLING = "default_config"  # where torchreid's scripts keep get_default_config


@COMMANDS.register("run", help="run an unmodified torchreid training script", usage=USAGE)
def run_command(arguments: list[str]) -> int:
    """Run a script under our hooks and return its exit code.

    Args:
        arguments: the script's path, then its own arguments.

    Raises:
        ConfigError: no such script; ``adv.*`` arguments that it has no place for; or ``adv.engine``
            or ``adv.defense.name`` is set and the script never ran a torchreid engine.
    """
    if not arguments or arguments[0] in ("-h", "--help"):
        print(f"{ABOUT}\n{USAGE.opening('').lstrip()}\n\n{USAGE.closing()}")
        return 0 if arguments else ConfigError.exit_code
    from torchreid_adv.integration import engine, hooks
    from torchreid_adv.integration.console import kept_console

    path = Path(arguments[0]).expanduser().resolve()
    if not path.is_file() or path.suffix != ".py":
        raise ConfigError(f"'run' takes the path of a Python script, got '{arguments[0]}'")
    before = engine.adapted_engines()
    config.forget()
    with kept_console(), alias(), hooks.installed(), _place_of(path, arguments[1:]):
        code = _call(path, arguments[1:])
        engine.require_adapted(config.current(), before)
    return code


def _call(path: Path, arguments: list[str]) -> int:
    try:
        if _defines_main(path):
            module = _import(path.stem, path)
            _add_keys([module, sys.modules.get(SIBLING)], arguments)
            module.main()
        else:
            sibling = importlib.util.find_spec(SIBLING)
            _add_keys([importlib.import_module(SIBLING)] if sibling else [], arguments)
            runpy.run_path(str(path), run_name="__main__")
    except SystemExit as stop:
        if isinstance(stop.code, str):
            print(stop.code, file=sys.stderr)
        return stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    return 0


def _defines_main(path: Path) -> bool:
    """Tell from the text alone: executing a script twice is not the same as once."""
    try:
        body = ast.parse(path.read_bytes(), filename=str(path)).body
    except (SyntaxError, ValueError) as error:
        raise ConfigError(f"'{path}' is not a Python script: {error}") from error
    return any(isinstance(node, ast.FunctionDef) and node.name == "main" for node in body)


def _import(name: str, path: Path) -> ModuleType:
    """Import a script under its own name; spawned workers import it again by that name."""
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def _add_keys(places: list[ModuleType | None], arguments: list[str]) -> None:
    """Put ``adv.*`` into every config tree that the script makes, wherever it looks it up."""
    makers = [place for place in places if hasattr(place, "get_default_config")]
    asked = [argument for argument in arguments if argument.startswith("adv.")]
    if asked and not makers:
        raise ConfigError(
            f"the script has no get_default_config() to add {asked[0]} to; let it call "
            "torchreid_adv.add_adv_config(cfg) on its own config"
        )
    for place in makers:
        vars(place)["get_default_config"] = _with_adv(vars(place)["get_default_config"])


def _with_adv(stock: Callable[..., config.CfgNode]) -> Callable[..., config.CfgNode]:
    @wraps(stock)
    def get_default_config(*args: object, **kwargs: object) -> config.CfgNode:
        return config.add_adv_config(stock(*args, **kwargs))

    return get_default_config


@contextlib.contextmanager
def _place_of(path: Path, arguments: list[str]) -> Iterator[None]:
    """Give the script the arguments and the import path that ``python script`` would."""
    argv, search = sys.argv, list(sys.path)
    taken = {name: sys.modules.pop(name, None) for name in (SIBLING, path.stem)}
    sys.argv = [str(path), *arguments]
    sys.path.insert(0, str(path.parent))
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.argv, sys.path[:] = argv, search
        for name, module in taken.items():
            sys.modules.pop(name, None)
            if module is not None:
                sys.modules[name] = module
