"""The names of tensors in a checkpoint, as a network spells them: without wrappers and prefixes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

# parts of names added by DataParallel, torch.compile and memory-saving wrappers
WRAPPERS = ("module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module")
DEEPEST = 8  # parts of a prefix, and nested dictionaries of a checkpoint
RIVAL = 0.5  # share of a network's tensors that makes another prefix a second network


def spelled(name: str) -> str:
    """Return the name of a tensor without the parts added by wrappers."""
    return ".".join(part for part in name.split(".") if part not in WRAPPERS)


class WeightNames:
    """The names in a checkpoint, as stored and as a network would spell them.

    Args:
        names: names of the checkpoint's tensors.
        expected: names of the network's tensors.
    """

    def __init__(self, names: Iterable[str], expected: Iterable[str]) -> None:
        by_spelling = {spelled(name): name for name in expected}
        # otherwise parts of the network have the names of wrappers
        plain = len(by_spelling) == len(list(expected))
        self._expected = by_spelling if plain else {name: name for name in expected}
        spell = spelled if plain else str
        self._rows = [(raw, spell(raw.replace("/", "."))) for raw in names]

    def prefix(self) -> str:
        """Return the prefix that most of the network's names have in the checkpoint."""
        votes = self._votes(self._rows)
        return max(votes, key=lambda prefix: (votes[prefix], -len(prefix)), default="")

    def rivals(self, prefix: str) -> list[str]:
        """Return other prefixes that have nearly as many of the same tensors."""
        taken = dict(self.below(prefix))
        votes = self._votes((row for row in self._rows if row[0] not in taken), set(taken.values()))
        return [other for other, count in votes.items() if count >= RIVAL * len(taken)]

    def elsewhere(self, named: Mapping[str, Any]) -> dict[str, str]:
        """Return names of the network that exist only under another prefix, with that prefix."""
        left = {name for name in self._expected.values() if name not in named}
        votes = self._votes(self._rows, left) if left else Counter()
        for prefix, _ in votes.most_common(1):
            root = self.raw(prefix)
            return {name: root for _, name in self.below(prefix) if name in left}
        return {}

    def below(self, prefix: str) -> Iterator[tuple[str, str]]:
        """Yield the checkpoint's names under a prefix, each with the network's name."""
        for raw, name in self._rows:
            network_name = (
                self._expected.get(name[len(prefix) :]) if name.startswith(prefix) else None
            )
            if network_name is not None:
                yield raw, network_name

    def raw(self, prefix: str) -> str:
        """Return a prefix as written in the checkpoint, for the argument ``key``."""
        raw, network_name = next(self.below(prefix))
        parts = network_name.count(".") + 1
        for _ in range(parts):
            raw = raw[: max(raw.rfind("."), raw.rfind("/"), 0)]
        return raw

    def _votes(
        self, rows: Iterable[tuple[str, str]], only: Collection[str] | None = None
    ) -> Counter[str]:
        """Return how many of the network's names, or of ``only`` these, each prefix has."""
        votes: Counter[str] = Counter()
        for _, name in rows:
            start = 0
            for _ in range(DEEPEST + 1):
                network_name = self._expected.get(name[start:])
                if network_name is not None and (only is None or network_name in only):
                    votes[name[:start]] += 1
                start = name.find(".", start) + 1
                if not start:
                    break
        return votes
