"""The reference of all ``adv.*`` keys as Markdown, from their declarations."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby

from torchreid_adv.config.keys import ALLOWED, KEYS, Key

HEAD = """\
# Config reference

Every `adv.*` key. `torchreid-adv list --keys` prints this page.

- Write keys below `adv:` in a YAML file, or after a command's flags: `adv.attack.eps 8`, or
  `adv.attack.eps=8`.
- A float key also accepts a whole number, and `None` if that is its default. A bool is `True` or
  `False`, in any case. A string key takes the characters exactly as written:
  `data.save_dir 2024.10` is a folder of that name. A list is `[a, b]`, or a single word.
- `~` and `~user` at the start of a path mean a home folder, in every key that names a file or a
  folder.
- Names of attacks, defenses, data sets, models and engines may be written in any case. For common
  names of other projects (`bim`, `market`, `vit_b_16`), the error message gives our name.
- Unknown keys, wrong types and values out of range are refused before any data is read.
- Gray levels run from 0 to 255; `--dry-run` also prints them in [0, 1].
- torchreid's own keys keep their names and also accept our names: `data.transforms`,
  `data.sources`, `data.targets`, `sampler.train_sampler`, `model.name`, `test.dist_metric`."""

SECTIONS = {
    "": "Plugins, and additions to an engine",
    "attack": "The attack",
    "defense": "The defense at test time",
    "corruption": "Corrupted images",
    "distances": "Options of distances",
    "transforms": "Options of transforms",
    "data": "Images, your own data sets, stored variants",
    "mot": "People cut from tracking sequences",
    "evaluation": "How a ranking is scored",
    "job": "The run: chunks, shards, bad files",
    "schedule": "The learning rate",
    "start": "The common start of a study's networks",
    "transfer": "Tables of several models",
    "selection": "Choosing checkpoints by another data set",
    "loss": "Losses of torchreid's engines",
    "study": "Studies",
    "zoo": "A zoo of models",
    "scenarios": "Universal attacks on models and data sets",
    "training": "Adversarial training",
    "meta": "MetaAttack and MetaDefense",
    "mis_ranking": "Mis-Ranking's generator",
    "video": "Visible-infrared video",
    "pictures": "Pictures of several models",
    "standard": "The standard evaluation",
    "card": "The robustness card",
    "report": "The report",
    "virtual": "Virtual people",
}
FIRST = (  # keys to begin with, for docs/commands.md
    *("attack.name", "attack.eps", "attack.steps", "attack.step_size", "attack.metric"),
    *("attack.side", "attack.space", "attack.targeted", "attack.weights", "attack.options"),
    *("defense.name", "defense.preset", "engine", "training.mode", "training.objective"),
    *("training.eps", "meta.learning", "meta.virtual", "selection.data", "standard.version"),
    *("data.adversarial_dir", "job.quarantine", "evaluation.rerank", "plugins"),
)
UNITS = {"levels": "gray levels"}


def reference() -> str:
    """Return the page of all keys, a table for each section."""
    parts = [HEAD]
    for section, keys in groupby(KEYS, _section):
        about = SECTIONS.get(section, "")
        parts += [f"## adv.{section}" if section else "## adv", *([f"{about}."] if about else [])]
        parts.append("\n".join(_rows(keys)))
    return "\n\n".join(parts) + "\n"


def table(names: Iterable[str]) -> str:
    """Return the table of some keys, named without ``adv.``, in their order."""
    declared = {key.name: key for key in KEYS}
    return "\n".join(_rows(declared[name] for name in names))


def _rows(keys: Iterable[Key]) -> Iterator[str]:
    yield "| key | takes | unit | default | what it does |"
    yield "|---|---|---|---|---|"
    for key in keys:
        unit, meaning = UNITS.get(key.unit, key.unit), key.meaning.replace("<", "&lt;")
        yield f"| `adv.{key.name}` | {_takes(key)} | {unit} | `{key.default!r}` | {meaning} |"


def _section(key: Key) -> str:
    first, dot, _ = key.name.partition(".")
    return first if dot or key.default == {} else ""


def _takes(key: Key) -> str:
    kind = key.kind if key.default is None else type(key.default)
    allowed = ALLOWED.get(key.check, "")
    if kind is str and allowed:
        return allowed
    return ", ".join(filter(None, [kind.__name__, allowed]))
