"""``torchreid-adv reproduce``: a paper's table on the user's data and models."""

from __future__ import annotations

import json
from pathlib import Path

from torchreid_adv.commands.reproducing import Reproduction
from torchreid_adv.commands.transfer import run_table
from torchreid_adv.config import AdvConfig
from torchreid_adv.errors import ConfigError
from torchreid_adv.jobs.files import write_bytes, write_text
from torchreid_adv.registry import COMMANDS, REPRODUCTIONS
from torchreid_adv.report.beside import markdown, to_json
from torchreid_adv.report.charts import to_png
from torchreid_adv.version import __version__

SCHEMA = 1
_LIST = ("--list", "-l")


@COMMANDS.register("reproduce", help="run what a paper's table needs, print ours beside it")
def main(arguments: list[str]) -> int:
    """Reproduce the table that comes first on the command line, or list them; return 0.

    Raises:
        ConfigError: an unknown table, no model of it, or a key that is not the table's.
        DataError: a data set or an image that cannot be used.
    """
    if not arguments or arguments[0] in _LIST:
        print(listed())
        return 0
    name, *rest = arguments
    if name in ("-h", "--help"):
        name, rest = "NAME", [name]
    elif name.startswith("-"):
        raise ConfigError(
            "the name of a table comes first: torchreid-adv reproduce NAME [FLAGS] "
            "[KEY VALUE ...]; torchreid-adv reproduce --list shows the names"
        )
    else:
        REPRODUCTIONS.get(name)
    sentence = "Run what a paper's table needs on your data and models; --list shows the tables."
    return run_table(rest, f"reproduce {name}", sentence, lambda cfg: _write(cfg, name))


def reproduce(cfg: AdvConfig, name: str) -> Reproduction:
    """Run what a table needs and return ours beside the paper's.

    Args:
        cfg: for the models (``adv.transfer.models``), the data and the folder; left as it is.
        name: such as ``bai2019.table2``.
    """
    done: Reproduction = REPRODUCTIONS.get(name)(cfg.clone())
    return done


def listed() -> str:
    """Return the names of the tables, each with what it shows."""
    lines = [f"  {name:<24}{REPRODUCTIONS.facts(name)['title']}" for name in REPRODUCTIONS]
    return "\n".join(["tables and figures (torchreid-adv reproduce NAME ...):", *lines])


def _write(cfg: AdvConfig, name: str) -> str:
    done, out = reproduce(cfg, name), Path(cfg.data.save_dir)
    text = markdown(done.comparison)
    print(f"\n{text}")
    content = {"schema": SCHEMA, "version": __version__, **to_json(done.comparison)}
    content["models"] = list(cfg.adv.transfer.models)
    write_text(out / f"{name}.json", json.dumps(content, indent=1) + "\n")
    for end, figure in done.figures.items():
        write_bytes(out / f"{name}_{end}.png", to_png(figure))
    write_text(out / f"{name}.md", f"{text}\n")
    return f"Table: {out / f'{name}.md'}"
