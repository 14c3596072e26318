"""``torchreid-adv corrupt`` and ``corruption-report``: bad weather, light and cameras."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torchreid_adv.cli.command import Command, Ended
from torchreid_adv.cli.help_text import Usage
from torchreid_adv.cli.reads import DATA, ONE_NETWORK, SCORES, VIRTUAL
from torchreid_adv.config import AdvConfig
from torchreid_adv.errors import PARTIAL

if TYPE_CHECKING:
    from torchreid_adv.core.processes import Team


def _check_kinds(cfg: AdvConfig) -> None:
    from torchreid_adv.runs.file_corruption import FileCorruption

    FileCorruption.configured(cfg)


def _corrupt(cfg: AdvConfig, team: Team) -> Ended:
    """Write a corrupted version of each target; exit code 4 when bad images were left out."""
    from torchreid_adv.runs.corrupted import corrupt_targets
    from torchreid_adv.runs.inputs import configured_dataset

    names = list(dict.fromkeys(cfg.data.targets))
    targets = team.first(lambda: [configured_dataset(cfg, name, tracklets=True) for name in names])
    written = [data for data in corrupt_targets(cfg, targets, team) if data is not None]
    if len(written) < len(targets):
        return Ended("This shard is done; the last one to end writes the manifest.")
    lines = []
    for corrupted in written:
        changed = sum(entry.attacked for entry in corrupted.manifest.stored)
        lines.append(
            f"{corrupted.data.name}: {changed} images corrupted, "
            f"{len(corrupted.manifest.stored) - changed} copied; root {corrupted.manifest.root}\n"
            f"Corrupted data set: {corrupted.folder}"
        )
    left_out = any(len(data.manifest.entries) > len(data.manifest.stored) for data in written)
    return Ended("\n".join(["", *lines]), PARTIAL if left_out else 0)


CORRUPT = Command(
    name="corrupt",
    help="write a corrupted version of a data set: blur, weather...",
    about="Write a corrupted version of a data set, set by adv.corruption.*.",
    work=_corrupt,
    usage=Usage(
        examples=(
            "corrupt --config-file configs/quickstart.yaml data.save_dir log/corrupted",
            "corrupt -t market1501 --root reid-data adv.corruption.kinds \"['fog']\" "
            "adv.corruption.severity 3",
        ),
        writes="Below data.save_dir, for each data set: corrupted/, with its images, manifest and "
        "list of people, which -t reads as a data set.",
        time="A few hundred images per second and core at 128x64. The same command continues an "
        "interrupted run.",
        reads=(*DATA, "adv.corruption.*", "adv.job.*"),
        further=VIRTUAL,
    ),
    check=_check_kinds,
    joins=True,
    shards=True,
    holds=False,  # the run holds its folder itself, and shards share it
).registered()


def _corruption_report(cfg: AdvConfig, team: Team) -> Ended:
    """Test the model on corrupted images; stored scores are read back."""
    from torchreid_adv.engines.trained import weights_of
    from torchreid_adv.experiments.corruption_report import corruption_report

    path = corruption_report(cfg, weights_of)
    return Ended(f"\n{path.read_text(encoding='utf-8')}\nTable: {path}")


CORRUPTION_REPORT = Command(
    name="corruption-report",
    help="test a model on corrupted images, by kind and severity",
    about="Test a model on corrupted images, set by adv.corruption.*.",
    work=_corruption_report,
    usage=Usage(
        examples=(
            "corruption-report --config-file configs/quickstart.yaml data.save_dir log/corruptions",
            "corruption-report -t market1501 --root reid-data model.name osnet_x1_0 "
            "model.load_weights model.pth.tar-60",
        ),
        writes="Below data.save_dir: corruptions.json and corruptions.md, and the scores so far.",
        time="Queries and gallery once for each draw (adv.corruption.repeats), and the queries "
        "once for each kind and severity. It prints the time left, and continues where it stopped.",
        reads=(*DATA, *ONE_NETWORK, *SCORES, "model.pretrained", "adv.corruption.*"),
        further=VIRTUAL,
    ),
    check=_check_kinds,
).registered()
