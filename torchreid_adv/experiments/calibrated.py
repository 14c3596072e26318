"""The calibration of a study's networks, and whether a claim can rest on it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torchreid_adv import config
from torchreid_adv.config import AdvConfig
from torchreid_adv.errors import ConfigError
from torchreid_adv.experiments import calibration
from torchreid_adv.experiments.study_file import StudyFile, read_study
from torchreid_adv.models.specs import parse_models

FILE = "calibration.json"  # next to a study's results
STUDY = "calibration"
DECIDING = (  # keys that decide the training, its data, and the size of the noise
    "adv.attack.eps",
    "data.sources",
    "data.height",
    "data.width",
    "data.transforms",
    "loss",
    "sampler",
    "train",
    "adv.schedule",
    "adv.start",
    "adv.virtual.height",
    "adv.virtual.train_identities",
    "adv.virtual.width",
)
_OTHER = ("train.seed", "train.print_freq")  # keys below these that do not


@dataclass(frozen=True)
class Answered:
    """A question of the calibration with its answer.

    Args:
        question: as the calibration prints it.
        value: the mean over seeds.
        low: lowest value measured on real weights.
        high: highest value measured on real weights.
        inside: whether the value counts as inside that range.
    """

    question: str
    value: float
    low: float
    high: float
    inside: bool


@dataclass(frozen=True)
class Calibrated:
    """The calibration of a study's networks.

    Args:
        answers: to its questions.
        problem: why it does not apply to these networks, else "".
    """

    answers: tuple[Answered, ...] = ()
    problem: str = ""

    def objection(self, rests_on: Sequence[str]) -> str:
        """Return why a claim cannot rest on these networks, "" if it can.

        Args:
            rests_on: beginnings of questions.
        """
        if not rests_on:
            return ""
        if self.problem:
            return self.problem
        outside = []
        for name in rests_on:
            answers = [answer for answer in self.answers if answer.question.startswith(name)]
            if not answers:
                return f"the calibration has no answer on {name}"
            outside += [answer for answer in answers if not answer.inside]
        if not outside:
            return ""
        more = len(set(outside)) - 1
        return f"calibration fails: {outside[0].question}" + (f" and {more} more" if more else "")

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain data."""
        return asdict(self)

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Calibrated:
        """Return the calibration from the values of :meth:`to_dict`."""
        answers = tuple(Answered(**answer) for answer in content["answers"])
        return cls(answers, content["problem"])


NOT_CALIBRATED = Calibrated(problem="no calibration of these networks")


def calibrated(cfg: AdvConfig) -> Calibrated:
    """Read the calibration of a study's networks.

    It is the ``study.json`` that ``adv.study.calibration`` names, else ``calibration.json`` in
    ``data.save_dir``.

    Raises:
        ConfigError: the named file does not exist, or is not a calibration.
    """
    beside = Path(cfg.data.save_dir) / FILE
    named = str(cfg.adv.study.calibration)
    path = Path(named).expanduser() if named else beside
    if not named and not path.is_file():
        return NOT_CALIBRATED
    result = read_study(path)
    if result.study != STUDY:
        raise ConfigError(
            f"'{path}' is of study '{result.study}'; adv.study.calibration names the study.json "
            "of torchreid-adv study calibration"
        )
    return of_result(result, cfg)


def of_result(result: StudyFile, cfg: AdvConfig) -> Calibrated:
    """Return the calibration of the networks that a config trains."""
    if result.unfinished:
        return Calibrated(problem=f"the calibration is incomplete: {result.unfinished}")
    change = next(_changes(result.config, cfg), "")
    if change:
        return Calibrated(problem=f"the calibration has other settings: {change}")
    return Calibrated(tuple(map(_answered, calibration.answers(result.readings))))


def _answered(answer: calibration.Answer) -> Answered:
    fact = answer.fact
    return Answered(fact.question, answer.value, fact.low, fact.high, answer.inside)


def _changes(then: Mapping[str, Any], cfg: AdvConfig) -> Iterator[str]:
    """Yield the differences of a calibration's config; keys that it lacks are new."""
    before, now = dict(leaves(then)), dict(leaves(config.plain(cfg)))
    trained = {
        (s.name, s.size) for s in parse_models(before.get("adv.study.models", []), trained=False)
    }
    for spec in parse_models(cfg.adv.study.models, trained=False):
        if (spec.name, spec.size) not in trained:
            yield f"it has no {spec.name}"
    for key, value in now.items():
        if _decides(key) and before.get(key, value) != value:
            yield f"{key} {before[key]}, here {value}"


def _decides(key: str) -> bool:
    return key not in _OTHER and any(f"{key}.".startswith(f"{name}.") for name in DECIDING)


def leaves(content: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the dotted keys of a config given as plain data, with their values."""
    for name, value in content.items():
        if isinstance(value, Mapping):
            yield from leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value
