"""Which tensors of a checkpoint are a network's, and how they fit it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from torchreid_adv.errors import ConfigError, printable
from torchreid_adv.integration.heads import counters, unused_by_features

# parts of names left by DataParallel, torch.compile and wrappers that save memory
WRAPPERS = ("module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module")
DEEPEST, LONGEST = 8, 1024  # dictionaries in each other, parts of a prefix; letters of a name
SHOWN = 8  # names listed in an error
RIVAL = 0.5  # of a network's tensors: as many under another prefix are a network of their own


def weights_in(
    checkpoint: Mapping[str, Any], path: str | Path, *, key: str | None = None
) -> dict[str, Tensor]:
    """Return all tensors of a checkpoint, however deep they lie, under their full names.

    A name is the keys of the dictionaries around the tensor, each with a ``/`` behind it, and its
    own: ``state_dict/module.conv1.weight``. Which of them are a network's is decided where the
    network is known, by :func:`match_weights`.

    Args:
        checkpoint: the content of the file.
        path: of the file, for messages.
        key: take what lies under this name alone, for example ``ema`` or ``state_dict/teacher``.

    Raises:
        ConfigError: there are no tensors, or a name that no network has.
    """
    tensors = _tensors(checkpoint, path)
    if key is not None:
        start = key.rstrip("./")
        chosen = {n: v for n, v in tensors.items() if n.startswith((f"{start}/", f"{start}."))}
        if not chosen:
            raise ConfigError(
                f"'{path}' has no weights under '{key}', only under: {_roots(tensors)}"
            )
        return chosen
    if not tensors:
        keys = ", ".join(str(name) for name in list(checkpoint)[:SHOWN]) or "nothing"
        raise ConfigError(
            f"the checkpoint '{path}' holds no weights, only: {printable(keys[:200])}"
        )
    return tensors


def _tensors(checkpoint: Mapping[str, Any], path: str | Path) -> dict[str, Tensor]:
    found: dict[str, Tensor] = {}
    seen: set[int] = set()  # one dictionary under two names is walked once
    level: list[tuple[str, Mapping[Any, Any], int]] = [("", checkpoint, 1)]
    for start, mapping, depth in level:  # which grows
        for name, value in mapping.items():
            if not isinstance(name, str) or not isinstance(value, (Tensor, Mapping)):
                continue
            full = f"{start}{name}"
            if len(full) > LONGEST:
                raise ConfigError(
                    f"'{path}' is not a checkpoint: the name '{printable(name[:40])}...' in it has "
                    f"{len(full)} letters; names of weights have up to {LONGEST}"
                )
            if isinstance(value, Tensor):
                found[full] = value
            elif id(value) not in seen and depth < DEEPEST:
                seen.add(id(value))
                level.append((f"{full}/", value, depth + 1))
    return found


def _roots(tensors: Mapping[str, Tensor]) -> str:
    roots = dict.fromkeys(re.split(r"[/.]", name, maxsplit=1)[0] for name in tensors)
    return printable(", ".join(list(roots)[:SHOWN])) or "nothing"


@dataclass(frozen=True)
class Match:
    """How the tensors of a checkpoint fit a network; names are the network's.

    Args:
        loaded: what fits.
        missing: tensors of the network that the checkpoint does not have.
        mismatched: name -> (shape in the network, shape in the checkpoint).
        unexpected: tensors of the checkpoint beside those, which the network does not have.
        doubtful: name -> why what the checkpoint has under it cannot be taken.
        heads: tensors that the network's features do not depend on, and that may therefore differ.
        untried: why the heads are not known, "" where they are or do not matter.
        layers: those of ``unexpected`` that are no classifier.
        rounded: those of ``loaded`` whose values the network's type cannot hold exactly.
        names: of all tensors of the checkpoint, some of which are shown in an error.
    """

    loaded: dict[str, Tensor]
    missing: tuple[str, ...]
    mismatched: dict[str, tuple[tuple[int, ...], tuple[int, ...]]]
    unexpected: tuple[str, ...]
    doubtful: dict[str, str] = field(default_factory=dict)
    heads: frozenset[str] = frozenset()
    untried: str = ""
    layers: tuple[str, ...] = ()
    rounded: tuple[str, ...] = ()
    names: tuple[str, ...] = ()

    def faults(self) -> list[str]:
        """Return what is wrong with the part that features come from, one line each."""
        shapes = {
            name: f"is {there} in the file, {here} in the model"
            for name, (here, there) in self.mismatched.items()
        }
        absent = dict.fromkeys(self.missing, "is not in the file")
        wrong = {**shapes, **absent, **self.doubtful}
        return [f"{name} {why}" for name, why in wrong.items() if name not in self.heads]

    @property
    def backbone(self) -> int:
        """How many tensors that features come from were found."""
        return sum(name not in self.heads for name in self.loaded)


def match_weights(
    model: nn.Module, state: Mapping[str, Tensor], path: str | Path = "the file"
) -> Match:
    """Compare the tensors of a checkpoint with a network, leaving both as they are.

    Names are compared without the parts that DataParallel and torch.compile leave, and behind the
    one prefix under which the checkpoint has most of the network's names. Where something is
    missing or does not fit, the network is run once to see which tensors its features depend on.

    Args:
        model: the network, bare or in DataParallel.
        state: what :func:`weights_in` returned.
        path: of the file, for messages.

    Raises:
        ConfigError: the checkpoint holds the network twice, with different values; or tensors that
            are sparse, quantized or without values.
    """
    model = unwrap(model)
    wanted = {k: v for k, v in model.state_dict().items() if isinstance(v, Tensor)}
    named, others, doubtful = _by_own_names(state, wanted, path)
    shapes = {k: (tuple(v.shape), tuple(named[k].shape)) for k, v in wanted.items() if k in named}
    mismatched = {name: pair for name, pair in shapes.items() if pair[0] != pair[1]}
    for name in shapes.keys() - mismatched.keys():
        if named[name].is_floating_point() != wanted[name].is_floating_point():
            doubtful[name] = (
                f"holds {named[name].dtype} in the file, {wanted[name].dtype} in the model"
            )
    missing = tuple(name for name in wanted if name not in named)
    heads, untried = _heads(model, mismatched, {*missing, *doubtful})
    fitting = [name for name in shapes if name not in mismatched and name not in doubtful]
    rounded = tuple(name for name in fitting if _rounds(named[name], wanted[name].dtype))
    return Match(
        loaded={name: named[name].to(wanted[name].dtype) for name in fitting},
        missing=missing,
        mismatched=mismatched,
        unexpected=tuple(others),
        doubtful=doubtful,
        heads=heads,
        untried=untried,
        layers=tuple(_beyond_classifiers(others)),
        rounded=rounded,
        names=tuple(spelled(name.rpartition("/")[2]) for name in state),
    )


def identities(model: nn.Module, state: Mapping[str, Tensor], path: str | Path) -> int:
    """Return how many rows a checkpoint has where a network of one identity has one; 1 for none.

    Args:
        model: built for one identity.
        state: what :func:`weights_in` returned.
        path: of the file, for messages.

    Raises:
        ConfigError: as :func:`match_weights`.
    """
    wanted = {k: v for k, v in model.state_dict().items() if isinstance(v, Tensor)}
    named, _, _ = _by_own_names(state, wanted, path)
    rows = {
        len(value)
        for name, value in named.items()
        if wanted[name].ndim
        and len(wanted[name]) == 1
        and value.shape[1:] == wanted[name].shape[1:]
    }
    return max(rows, default=1)


def _heads(
    model: nn.Module,
    mismatched: Mapping[str, tuple[tuple[int, ...], tuple[int, ...]]],
    absent: set[str],
) -> tuple[frozenset[str], str]:
    """Return what the features can do without: batch counters, and layers of identities.

    A layer of identities is one that no feature depends on, and that is linear or differs in its
    number of rows alone.
    """
    needless = counters(model)
    if not (mismatched.keys() | absent) - needless:
        return needless, ""
    unused, reason = unused_by_features(model)
    linear = {
        f"{name}.{part}".lstrip(".")
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear)
        for part, _ in module.named_parameters(recurse=False)
    }
    rows = {name for name, (here, there) in mismatched.items() if here and here[1:] == there[1:]}
    return needless | (unused & (linear | rows)), reason


def spelled(name: str) -> str:
    """Return the name of a tensor without the parts that wrappers add."""
    return ".".join(part for part in name.split(".") if part not in WRAPPERS)


def unwrap(model: nn.Module) -> nn.Module:
    """Return the module inside DataParallel or DistributedDataParallel."""
    while isinstance(model, (nn.DataParallel, nn.parallel.DistributedDataParallel)):
        model = model.module
    return model


def _by_own_names(
    state: Mapping[str, Tensor], wanted: Mapping[str, Tensor], path: str | Path
) -> tuple[dict[str, Tensor], dict[str, Tensor], dict[str, str]]:
    """Return the tensors by the network's names, those beside them, and names with a fault."""
    rows = _Names(state, wanted)
    prefix = rows.prefix()
    named: dict[str, Tensor] = {}
    doubtful: dict[str, str] = {}
    for raw, name in rows.below(prefix):
        if name in named and not _same(named[name], state[raw], wanted[name]):
            doubtful[name] = "is in the file twice, with different values under different prefixes"
        named[name] = state[raw]
    _check_plain(named, wanted, path)
    for other in rows.rivals(prefix):
        pairs = [(raw, name) for raw, name in rows.below(other)]
        if not all(
            name in named and _same(named[name], state[raw], wanted[name]) for raw, name in pairs
        ):
            raise ConfigError(_two(path, rows.raw(prefix), rows.raw(other)))
    for name, other in rows.elsewhere(named).items():
        doubtful[name] = f"is in the file under '{other}', not where the rest of the network is"
    around = {raw.rpartition("/")[0] for raw, _ in rows.below(prefix)}
    taken = {raw for raw, _ in rows.below(prefix)}
    beside = {r: state[r] for r in state if r not in taken and r.rpartition("/")[0] in around}
    return named, beside, doubtful


class _Names:
    """The names in a checkpoint, as they are and as a network would spell them.

    Args:
        names: of the checkpoint's tensors.
        wanted: of the network's.
    """

    def __init__(self, names: Iterable[str], wanted: Iterable[str]) -> None:
        own = {spelled(name): name for name in wanted}
        plain = len(own) == len(list(wanted))  # else its own parts are called as wrappers are
        self._wanted = own if plain else {name: name for name in wanted}
        spell = spelled if plain else str
        self._rows = [(raw, spell(raw.replace("/", "."))) for raw in names]

    def prefix(self) -> str:
        """Return the prefix behind which most of the network's names are found."""
        votes = self._votes(self._rows)
        return max(votes, key=lambda prefix: (votes[prefix], -len(prefix)), default="")

    def rivals(self, prefix: str) -> list[str]:
        """Return other prefixes behind which as good as all of the same tensors is found."""
        taken = dict(self.below(prefix))
        votes = self._votes((row for row in self._rows if row[0] not in taken), set(taken.values()))
        return [other for other, count in votes.items() if count >= RIVAL * len(taken)]

    def elsewhere(self, found: Mapping[str, Any]) -> dict[str, str]:
        """Return names of the network that stand behind another prefix alone, with that prefix."""
        left = {name for name in self._wanted.values() if name not in found}
        votes = self._votes(self._rows, left) if left else Counter()
        for prefix, _ in votes.most_common(1):
            root = self.raw(prefix)
            return {name: root for _, name in self.below(prefix) if name in left}
        return {}

    def below(self, prefix: str) -> Iterator[tuple[str, str]]:
        """Give the names in the checkpoint behind a prefix, each with the network's own."""
        for raw, name in self._rows:
            own = self._wanted.get(name[len(prefix) :]) if name.startswith(prefix) else None
            if own is not None:
                yield raw, own

    def raw(self, prefix: str) -> str:
        """Return a prefix as the checkpoint has it, which is what ``key`` takes."""
        raw, own = next(self.below(prefix))
        parts = own.count(".") + 1
        for _ in range(parts):
            raw = raw[: max(raw.rfind("."), raw.rfind("/"), 0)]
        return raw

    def _votes(
        self, rows: Iterable[tuple[str, str]], only: Collection[str] | None = None
    ) -> Counter[str]:
        """Return how many of the network's names, or of some of them, stand behind prefixes."""
        votes: Counter[str] = Counter()
        for _, name in rows:
            start = 0
            for _ in range(DEEPEST + 1):
                own = self._wanted.get(name[start:])
                if own is not None and (only is None or own in only):
                    votes[name[:start]] += 1
                start = name.find(".", start) + 1
                if not start:
                    break
        return votes


def _two(path: str | Path, one: str, other: str) -> str:
    named = [f"under '{name}'" if name else "without a prefix" for name in (one, other)]
    key = one or other
    inner = "".join(f"[{part!r}]" for part in key.split("/"))
    return printable(
        f"'{path}' holds the network twice, with different values: {named[0]} and {named[1]}; "
        f"choose one: load_model(..., key='{key}') in Python, or save it alone with "
        f"torch.save(torch.load(path){inner}, 'chosen.pth')"
    )


def _check_plain(
    named: Mapping[str, Tensor], wanted: Mapping[str, Tensor], path: str | Path
) -> None:
    odd = [name for name, value in named.items() if not _is_plain(value)]
    if odd:
        raise ConfigError(
            f"the weights in '{path}' are sparse, nested, quantized, complex or without values "
            f"({', '.join(odd[:SHOWN])}); save plain tensors"
        )
    for name, value in named.items():
        if value.shape != wanted[name].shape and _claims(value):
            raise ConfigError(
                f"'{path}' is not a checkpoint of this model: {name} claims {tuple(value.shape)} "
                f"values, and the file holds {value.untyped_storage().nbytes()} bytes of them"
            )


def _rounds(value: Tensor, dtype: torch.dtype) -> bool:
    """Return whether floating-point values change when they are stored in another type."""
    if not value.is_floating_point() or value.dtype == dtype:
        return False
    finite = value.isfinite()
    return not torch.equal(value.to(dtype).to(value.dtype)[finite], value[finite])


def _is_plain(value: Tensor) -> bool:
    odd = value.is_nested or value.is_quantized or value.is_meta or value.is_complex()
    return value.layout == torch.strided and not odd


def _same(one: Tensor, other: Tensor, like: Tensor) -> bool:
    """Return whether two tensors are equal; what claims more values than it holds never is."""
    if one.shape != other.shape or one.dtype != other.dtype:
        return False
    if not (_is_plain(one) and _is_plain(other)):
        return False
    small = one.shape == like.shape or not (_claims(one) or _claims(other))
    return small and torch.equal(one, other)


def _claims(value: Tensor) -> bool:
    """Return whether a tensor has more values than the file, as one with strides of 0 may."""
    return value.numel() * value.element_size() > value.untyped_storage().nbytes()


def _beyond_classifiers(others: Mapping[str, Tensor]) -> Iterator[str]:
    """Give the tensors that belong to no lone linear layer, as a classifier is one.

    A linear layer in front of another one is no classifier. Counters of one integer are no layer.
    """
    layers: dict[str, dict[str, Tensor]] = {}
    for name, value in others.items():
        layer, _, part = name.rpartition(".")
        layers.setdefault(layer, {})[part] = value
    linear = {name: parts["weight"] for name, parts in layers.items() if _is_linear(parts)}
    entries = {weight.shape[1] for weight in linear.values()}
    heads = {name for name, weight in linear.items() if weight.shape[0] not in entries}
    for name, parts in layers.items():
        for part, value in parts.items():
            counter = value.ndim == 0 and not value.is_floating_point()
            if name not in heads and not counter:
                yield f"{name}.{part}".lstrip(".")


def _is_linear(parts: Mapping[str, Tensor]) -> bool:
    weight, bias = parts.get("weight"), parts.get("bias")
    if weight is None or weight.ndim != 2 or not parts.keys() <= {"weight", "bias"}:
        return False
    return bias is None or bias.shape == weight.shape[:1]
