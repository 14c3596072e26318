"""``torchreid-adv sweep``: one model, several bounds and metrics, and the curve."""

from __future__ import annotations

from pathlib import Path

from torchreid_adv.commands.attack_gallery import weights_of
from torchreid_adv.commands.transfer import run_table, transfer
from torchreid_adv.config import AdvConfig
from torchreid_adv.jobs.files import write_bytes
from torchreid_adv.registry import COMMANDS
from torchreid_adv.report.charts import to_png
from torchreid_adv.report.curves import eps_figure
from torchreid_adv.report.matrix import markdown, write_matrix

BOUNDS = [1.0, 2.0, 4.0, 8.0, 16.0]


@COMMANDS.register("sweep", help="attack one model with several bounds and metrics, and draw it")
def main(arguments: list[str]) -> int:
    """Attack with every bound, attack and metric of ``adv.transfer.*`` and return 0.

    Raises:
        ConfigError: a key, model or weights that cannot be used.
        DataError: a data set or an image that cannot be used.
    """
    sentence = "Attack one model with several bounds and metrics, and draw it."
    return run_table(arguments, "sweep", sentence, lambda cfg: f"Curve: {sweep(cfg)}")


def sweep(cfg: AdvConfig) -> Path:
    """Run a sweep and return the picture of its last data set."""
    if not cfg.adv.transfer.models:
        cfg.adv.transfer.models = [f"{cfg.model.name}:{weights_of(cfg)}"]
    if not cfg.adv.transfer.eps:
        cfg.adv.transfer.eps = list(BOUNDS)
    cells, out = transfer(cfg), Path(cfg.data.save_dir)
    print("\n" + markdown(cells))
    write_matrix(out, cells)
    for target in dict.fromkeys(cell.target for cell in cells):
        path = out / f"sweep_{target}.png"
        write_bytes(path, to_png(eps_figure(cells, target)))
    return path
