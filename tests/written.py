"""What a command of the documents has to leave behind, and to say."""

import json
import re
from pathlib import Path

import yaml

from torchreid_adv.config.reference import reference
from torchreid_adv.core.manifest import read_manifest
from torchreid_adv.integration.checkpoints import read_checkpoint
from torchreid_adv.models.specs import parse_models

LEARNED = {"meta_attack": "universal.safetensors", "mis_ranking": "generator.safetensors"}
PAPER_ALONE = ("bai2019.cross_modality",)


def check(command, printed):
    """Look at what a command wrote, and at what it said."""
    CHECKS[command.name](command, printed)


def content(path):
    return json.loads(path.read_text(encoding="utf-8"))


def is_page(path):
    assert path.read_text(encoding="utf-8").rstrip().endswith("</html>"), path


def attacked(out, targets):
    """Figures, a page, and images with a manifest for every target."""
    assert list(content(out / "results.json")["targets"]) == list(targets)
    is_page(out / "report.html")
    for target in targets:
        folder = out / target / "adversarial"
        stored = read_manifest(folder).stored
        assert any(entry.attacked for entry in stored)
        assert {path.name for path in folder.rglob("*.png")} == {
            Path(entry.output).name for entry in stored
        }


def attack_gallery(command, printed):
    if "--dry-run" in command.words:
        assert "    eps: 4.0  # gray levels = 0.015686 of [0, 1]" in printed
        assert yaml.safe_load(printed)["adv"]["virtual"]
        assert "Report: " not in printed
    elif "--shard" in command.words:
        assert list(command.out.glob("*/.job/*.ledger"))
        assert not (command.out / "results.json").exists()
    else:
        attacked(command.out, command.config.data.targets)
        assert f"Report: {command.out / 'report.html'}" in printed


def train(command, printed):
    cfg = command.config
    assert re.search(r"^mAP: [\d.]+%$", printed, flags=re.MULTILINE)
    if cfg.test.evaluate:
        assert list(command.out.glob("test.log-*"))
    elif cfg.adv.engine in LEARNED:
        assert read_checkpoint(command.out / LEARNED[cfg.adv.engine])
        attacked(command.out, cfg.data.targets)
    else:
        assert read_checkpoint(command.out / "model" / "model.pth.tar-1")["epoch"] == 1
    if cfg.adv.engine == "adversarial_training" and cfg.adv.training.mode == "offline":
        assert list((command.out / "adversarial_train").rglob("*.png"))
    if cfg.adv.training.clean_epochs:
        page = (command.out / "robustness" / "robustness.md").read_text()
        assert "**clean** on " in page and "**trained** on " in page  # noqa: PT018
        assert page.strip() in printed


def corrupt(command, printed):
    for target in command.config.data.targets:
        folder = command.out / target / "corrupted"
        stored = read_manifest(folder).stored
        assert {e.side for e in stored if e.corruption} == {command.config.adv.corruption.side}
        assert str(folder) in printed
        assert list(folder.glob("*_corrupted.csv"))


def corruption_report(command, printed):
    results = content(command.out / "corruptions.json")["targets"]
    assert list(results) == command.config.data.targets
    assert (command.out / "corruptions.md").read_text().strip() in printed


def verify(command, printed):
    standard = (Path(command.words[1]) / "standard.json").is_file()
    assert ("images match their originals" if standard else "match the manifest") in printed
    if "--config-file" in command.words:
        assert "Scored again: the model gives its" in printed


def leaderboard(command, printed):
    folder = Path(command.words[1])
    text = (folder / "leaderboard.md").read_text().replace("\\", "")  # names are escaped
    is_page(folder / "leaderboard.html")
    found = {path.parent.name for path in folder.rglob("standard.json")}
    assert found
    assert all(f"| {name} |" in text for name in found)
    assert str(folder / "leaderboard.html") in printed


def list_(command, printed):
    if "--keys" in command.words:
        assert printed == reference()
    for kind in [word for word in command.words[1:] if word[0] != "-"]:
        assert re.search(rf"^{kind}:\n  \w", printed, flags=re.MULTILINE)


def zoo(command, printed):
    labels = [row["model"]["label"] for row in content(command.out / "zoo.json")["rows"]]
    assert labels == list(command.config.adv.zoo)
    assert (command.out / "zoo.md").read_text().strip() in printed


def study(command, printed):
    facts = content(command.out / "study.json")
    assert facts["cases"] or facts["readings"]
    assert (command.out / "study.md").read_text().strip() in printed


def start(command, printed):
    for spec in parse_models(command.config.adv.study.models, trained=False):
        (weights,) = re.findall(rf"^{spec.label}: (.+)$", printed, flags=re.MULTILINE)
        assert Path(weights).is_file()


def scenarios(command, printed):
    assert {cell["scenario"] for cell in content(command.out / "scenarios.json")["cells"]} == {
        "source",
        "cross-model",
        "cross-dataset",
        "cross-model-dataset",
    }
    is_page(command.out / "scenarios.html")


def robust_report(command, printed):
    labels = [spec.label for spec in parse_models(command.config.adv.transfer.models)]
    tables = content(command.out / "robustness.json")["targets"]
    assert {target: list(rows) for target, rows in tables.items()} == {"market1501": labels}
    assert (command.out / "robustness.md").read_text().strip() in printed


def reproduce(command, printed):
    name = command.words[1]
    cells = content(command.out / f"{name}.json")["cells"]
    assert any(cell["ours"] for cell in cells) == (name not in PAPER_ALONE)
    assert (command.out / f"{name}.md").read_text().strip() in printed


def standard(command, printed):
    cfg = command.config
    for target in cfg.data.targets:
        for spec in parse_models(cfg.adv.standard.models):
            folder = command.out / target / spec.label
            assert set(content(folder / "standard.json")["tracks"]) == {"Q", "G"}
            is_page(folder / "report.html")
            assert f"Result: {folder / 'standard.json'}" in printed


def card(command, printed):
    cfg = command.config
    named = parse_models(cfg.adv.standard.models, trained=None)
    for label in [*(spec.label for spec in named), *cfg.adv.zoo]:
        folder = command.out / cfg.data.targets[0] / label
        assert content(folder / "card.json")["numbers"]["cross"].keys() == {*cfg.data.targets[1:]}
        is_page(folder / "card.html")
        assert f"Card: {folder / 'card.json'}" in printed


def pictures(command, printed):
    is_page(command.out / "report.html")
    assert len(content(command.out / "pictures.json")["models"]) == 2
    assert list((command.out / "figures").glob("*.png"))


def transfer(command, printed):
    labels = [spec.label for spec in parse_models(command.config.adv.transfer.models)]
    cells = content(command.out / "transfer.json")
    assert {cell["tested"] for cell in cells} == set(labels)
    assert (command.out / "transfer.md").read_text().strip() in printed


def compare(command, printed):
    runs = [word for word in command.words[1:] if word.startswith("log/")]
    assert f"{len([run for run in runs if Path(run).is_dir()])} results side by side" in printed
    assert "adversarial mAP" in printed
    if "--out" in command.words:
        is_page(Path(command.words[command.words.index("--out") + 1]))


CHECKS = {
    "attack": attack_gallery,
    "attack-gallery": attack_gallery,
    "card": card,
    "compare": compare,
    "corrupt": corrupt,
    "corruption-report": corruption_report,
    "demo": attack_gallery,
    "leaderboard": leaderboard,
    "list": list_,
    "pictures": pictures,
    "reproduce": reproduce,
    "robust-report": robust_report,
    "scenarios": scenarios,
    "standard": standard,
    "start": start,
    "study": study,
    "train": train,
    "transfer": transfer,
    "verify": verify,
    "zoo": zoo,
}
