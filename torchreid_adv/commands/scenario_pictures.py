"""Pictures of the scenarios' page: queries under all ways, and under all bounds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from torchreid_adv.commands.universal_learning import Learned, last_way
from torchreid_adv.commands.universal_scoring import UniversalScores
from torchreid_adv.config import AdvConfig
from torchreid_adv.jobs.files import write_bytes
from torchreid_adv.report.charts import to_png
from torchreid_adv.report.choice import choose_images
from torchreid_adv.report.scenarios import Picture
from torchreid_adv.report.universal_pictures import attacked_figure

QUERIES = 2  # in a picture


def pictures(cfg: AdvConfig, attacks: Sequence[Learned], scores: UniversalScores) -> list[Picture]:
    """Draw some queries of the first attacked model under all ways, and under all bounds."""
    first, eps = attacks[0].on, float(cfg.adv.attack.eps)
    own = [attack for attack in attacks if attack.on == first]
    last = [attack for attack in own if attack.way == last_way(cfg, eps).name]
    drawn = [
        _picture(
            "Color, delta and both",
            f"Queries of {first.data} under perturbations learned against {first.model}; below, "
            "what was changed, around mid-gray, all amplified alike.",
            {attack.way: attack for attack in own if attack.eps == eps},
            scores,
            out=Path(cfg.data.save_dir) / "figures" / "ways.png",
        )
    ]
    if len(last) > 1:
        last.sort(key=lambda attack: attack.eps)
        drawn.append(
            _picture(
                "The bound",
                f"The same queries under '{last[0].way}' with several bounds, amplified alike.",
                {f"eps {attack.eps:g}": attack for attack in last},
                scores,
                out=Path(cfg.data.save_dir) / "figures" / "bounds.png",
            )
        )
    return drawn


def _picture(
    title: str,
    sentence: str,
    columns: Mapping[str, Learned],
    scores: UniversalScores,
    *,
    out: Path,
) -> Picture:
    forms: dict[str, dict[str, Path]] = {}
    originals: dict[str, Path] = {}
    for name, attack in columns.items():
        pairs = scores.pairs(attack, attack.on)
        forms[name] = {record.image_id: path for record, path in pairs}
        originals = {record.image_id: record.path for record, _ in pairs}
    shown = {one: originals[one] for one in choose_images(list(originals), count=QUERIES)}
    largest = max(attack.eps for attack in columns.values())
    content = to_png(attacked_figure(shown, forms, largest))
    write_bytes(out, content)
    return Picture(title, sentence, content)
