"""What is recorded of attacked images comes back as it was, unit after unit."""

from dataclasses import dataclass
from pathlib import Path

import torch

from torchreid_adv.attacks import Adversarial
from torchreid_adv.data.datasets import Record
from torchreid_adv.runs.plan import Ledger
from torchreid_adv.runs.stored import (
    kept_facts,
    kept_features,
    read_facts,
    read_features,
    read_losses,
    read_stages,
)


@dataclass(frozen=True)
class Staged(Adversarial):
    def facts(self):
        return {
            "single": self.before / 3,
            "rows": torch.stack([self.before, self.after, -self.after]),
        }

    def stages(self):
        return {7: self.images, 20: self.images}


def test_facts_and_features_of_units_of_two_sizes(tmp_path):
    draws = torch.Generator().manual_seed(0)
    ledger, found, features = Ledger(tmp_path), [], []
    for unit, count in enumerate((3, 2)):  # the second one was filled up to three
        values = torch.rand(2, 3, generator=draws)
        still = torch.tensor([False, True, False])
        made = Staged(torch.zeros(3, 3, 2, 2), values[0], values[1], still, values)
        states = [torch.rand(3, 4, generator=draws) for _ in range(3)]
        ledger.append(
            unit, kept_facts(made, count), kept_features([state[:count] for state in states])
        )
        found.append((made, count))
        features.append([state[:count] for state in states])
    ledger.close()
    units = [done for _, done in sorted(Ledger(tmp_path).replay().items())]
    targets = [Record(f"g{i}", Path(f"{i}.png"), i, 0) for i in range(5)]
    for name in ("before", "after"):
        expected = torch.cat([getattr(made, name)[:count] for made, count in found])
        assert torch.equal(read_losses(units, name), expected)
    facts = read_facts(units)
    for name in ("single", "rows"):
        expected = torch.cat([made.facts()[name][..., :count] for made, count in found], -1)
        assert torch.equal(facts[name], expected.double())
    together = [torch.cat(parts) for parts in zip(*features, strict=True)]
    assert torch.equal(read_features(targets, units).values, together[0])
    stages = read_stages(targets, units)
    assert list(stages) == [7, 20]
    for read, expected in zip(stages.values(), together[1:], strict=True):
        assert torch.equal(read().values, expected)
        assert read().image_ids == tuple(f"g{i}" for i in range(5))
