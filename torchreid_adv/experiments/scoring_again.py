"""Verification of runs: against their files and, with the run's config, with their model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torchreid_adv.config import AdvConfig, lookup
from torchreid_adv.core.contents import Contents
from torchreid_adv.engines.trained import weights_of
from torchreid_adv.errors import ConfigError
from torchreid_adv.evaluation import Protocol
from torchreid_adv.evaluation.protocol import configured_metric
from torchreid_adv.experiments.card.content import CARD
from torchreid_adv.experiments.card.verify import (
    NOT_COMPARED,
    UNSCORED,
    said_of,
    score_card_again,
    verify_card,
)
from torchreid_adv.experiments.evaluated_models import configured_surrogates, evaluated_models
from torchreid_adv.models import fingerprint
from torchreid_adv.runs.defended_run import configured_test
from torchreid_adv.runs.inputs import configured_dataset, load_spec
from torchreid_adv.runs.originals import DataFiles, Originals
from torchreid_adv.runs.verify import UNSEEN, verify
from torchreid_adv.standard.identity import listing, metric_facts, model_digest
from torchreid_adv.standard.reading import RESULT, read_result
from torchreid_adv.standard.replay import Scorer
from torchreid_adv.standard.verify import (
    NOT_SCORED,
    files_checked,
    score_again,
    scored,
    verify_run,
)
from torchreid_adv.standard.verify_results import RESULTS, configured_replay, verify_results


def configured_originals(cfg: AdvConfig) -> Originals:
    """Return the data sets below the config's root, loaded with the config's options."""

    def load(name: str) -> Any:
        return configured_dataset(cfg, name, tracklets=True)

    return Originals(Path(cfg.data.root), load)


def configured_scorer(result: dict[str, Any], cfg: AdvConfig, originals: Originals) -> Scorer:
    """Return the scorer of a run, from the config of the run.

    Args:
        result: content of its ``standard.json``.
        cfg: names its model, data set, metric and defense.
        originals: data sets that are loaded already.

    Raises:
        ConfigError: the config describes another model, data set, metric or defense.
    """
    name, target = result["model"]["name"], result["data"]["name"]
    models = [model for model in evaluated_models(cfg) if model.spec.label == name]
    if not models or target not in cfg.data.targets:
        raise ConfigError(
            f"the run tested the model '{name}' on '{target}', which the config does not name; "
            "give the flags of the run (adv.standard.models or adv.zoo, -t)"
        )
    files, tested = originals.files(target), models[0]
    if not isinstance(files, DataFiles):
        raise ConfigError(files)
    model = tested.load()
    defended = configured_test(tested.cfg) is not None
    protocol = Protocol.configured(cfg, files.data)
    same = {
        "data set": listing(files.data, Contents()) == result["data"]["listing"],
        "weights": model_digest(model) == result["model"]["sha256"],
        "metric": metric_facts(protocol.distance) == result["metric"],
        "protocol": result["protocol"] == protocol.facts(),
        "defense": defended == (result["model"].get("defense") is not None),
    }
    for aspect, fits in same.items():
        if not fits:
            raise ConfigError(
                f"the config differs from the run of '{name}' on '{target}' in its {aspect}; give "
                "the flags of the run"
            )
    metric = cfg.adv.attack.metric
    attacked = configured_metric(cfg, metric) if metric else None
    workers = lookup(cfg, "data.workers", 0)
    return Scorer(model, files.data, protocol, attacked, _surrogates(cfg), workers)


def _surrogates(cfg: AdvConfig) -> list[dict[str, Any]] | None:
    """Return network and hash of the config's surrogates; None if it names none."""
    models = [load_spec(cfg, spec) for spec in configured_surrogates(cfg)]
    facts = [
        {"network": type(model.network).__name__, "sha256": fingerprint(model.network)}
        for model in models
    ]
    return facts or None


def _names_model(cfg: AdvConfig) -> bool:
    """Return whether a config names a model, and not only the data sets to compare with."""
    keys = ("adv.attack.models", "adv.standard.models", "model.load_weights")
    return any(lookup(cfg, key) for key in (*keys, "adv.virtual.train_model"))


def verified(folder: Path, originals: Originals, cfg: AdvConfig | None) -> str:
    """Verify a folder and return the result in sentences; score it again if a model is named.

    A config without a model only names the data sets that the files are compared with.
    """
    if (folder / CARD).is_file():
        return _verified_card(folder, originals, cfg)
    if (folder / RESULT).is_file():
        result = read_result(folder / RESULT)
        scorer = _scorer(result, cfg, originals)
        return verify_run(folder, originals.root, scorer, originals=originals)
    if (folder / RESULTS).is_file():
        named = cfg is not None and _names_model(cfg)
        scored = configured_replay(cfg, originals, weights_of) if cfg and named else None
        return verify_results(folder, originals, scored)
    return verify(folder, originals.root, originals)


def _scorer(result: dict[str, Any], cfg: AdvConfig | None, originals: Originals) -> Scorer | None:
    """Return what scores a result of the standard evaluation; None if no model is named."""
    if cfg is None or not (cfg.adv.zoo or _names_model(cfg)):
        return None
    return configured_scorer(result, cfg, originals)


def _verified_card(folder: Path, originals: Originals, cfg: AdvConfig | None) -> str:
    """Return the verified statements on a card and on its standard evaluation."""
    result = read_result(folder / RESULT)
    scorer = _scorer(result, cfg, originals)
    sentences = [files_checked(folder, result, originals)]
    checked = verify_card(folder, result, originals)
    sentences.append(said_of(checked))
    if cfg is None or scorer is None:
        return "\n".join([*sentences, UNSCORED, UNSEEN])
    replayed = score_again(folder, result, scorer)
    sentences += [scored(replayed), NOT_SCORED]
    sentences.append(score_card_again(folder, checked.content, cfg, scorer, replayed, originals))
    return "\n".join([*sentences, NOT_COMPARED, UNSEEN])
