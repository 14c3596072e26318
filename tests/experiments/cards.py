"""A small card in seconds: a market of six identities, a tiny network, budgets cut down."""

import contextlib
import dataclasses
from pathlib import Path

import pytest
import torch
from markets import write_market

from torchreid_adv import cli, config
from torchreid_adv.errors import DataError
from torchreid_adv.experiments import corruption_report
from torchreid_adv.experiments.card.budgets import CARDS
from torchreid_adv.experiments.card.content import CARD
from torchreid_adv.standard.versions import VERSIONS

SHORT = {
    "steps": 2, "self_steps": 2, "pulls": 1, "square": 6, "noise": 2, "transfer_steps": 2,
    "epochs": 1, "sample": 4, "bootstrap": 20, "eps": (2,), "curve": (0,), "rounds": (), "audit": 0,
}  # fmt: skip
CUT = {"draws": 2, "severities": (3,), "occlusions": (1, 5), "bootstrap": 20}
STOPPED = 12  # extraction at which the first run ends: 2 clean, 4 of draws, 5 of kinds are made
KEYS = ["data.height", "32", "data.width", "16", "data.workers", "0", "use_gpu", "False"]
KEYS += ["test.normalize_feature", "True", "adv.plugins", "['scripts.tiny_model']"]
KEYS += ["adv.job.threads", "1", "adv.card.version", "lite", "adv.report.page", "False"]


@contextlib.contextmanager
def short_card():
    """Inside the block the version ``lite`` of the card is done in seconds."""
    with pytest.MonkeyPatch.context() as patch:
        short = dataclasses.replace(VERSIONS["lite-2"], **SHORT)
        patch.setitem(VERSIONS, "lite-2", short)
        patch.setitem(CARDS, "lite", dataclasses.replace(CARDS["lite"], **CUT))
        yield


@dataclasses.dataclass(frozen=True)
class Place:
    """Where a market, models and cards lie, and how often the second run extracted features."""

    root: Path
    made: int = 0

    @property
    def mine(self):
        return self.root / "card" / "market1501" / "mine"

    @property
    def card(self):
        return self.mine / CARD

    def flags(self, *labels):
        """Flags and keys of cards of some models; ``mine`` has the first file, and so on."""
        names = dict(zip(("mine", "other"), labels or "a", strict=False))
        models = [f"{name}=tiny:{self.root / label}.pth" for name, label in names.items()]
        data = ["-t", "market1501", "--root", str(self.root / "data")]
        return [*data, *KEYS, "adv.standard.models", repr(models)]


def call(*words):
    """Run a command and return its exit code."""
    config.forget()
    code = cli.main(list(map(str, words)))
    config.forget()
    return code


@contextlib.contextmanager
def extractions(stop=None):
    """Inside the block calls that extract features are counted, and end the run at one of them."""
    made, extract = [], corruption_report.extract

    def counted(*arguments, **keywords):
        made.append(keywords["description"])
        if len(made) == stop:
            raise DataError("stopped")
        return extract(*arguments, **keywords)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(corruption_report, "extract", counted)
        yield made


def make(root):
    """Write a market and models, and make the cards of two models."""
    place = Place(root)
    sizes = ((40, 24), (48, 26))
    write_market(root / "data", identities=6, cameras=2, images=1, distractors=2, sizes=sizes)
    from scripts.tiny_model import Tiny

    for seed, label in enumerate("ab"):
        torch.manual_seed(seed)
        torch.save({"state_dict": Tiny().state_dict()}, root / f"{label}.pth")
    torch.set_num_threads(1)
    words = ("card", *place.flags("a", "b"), "data.save_dir", root / "card")
    with extractions(stop=STOPPED):
        assert call(*words) == DataError.exit_code
    with extractions() as made:
        assert call(*words) == 0
    return dataclasses.replace(place, made=len(made))
