"""What tests of the studies share: a study in a toy form, on few virtual people."""

from pathlib import Path

from torchreid_adv import cli, config

CONFIGS = Path(__file__).parents[1] / "configs" / "study"
PEOPLE = {"height": 64, "width": 32, "distractors": 2, "train_identities": 8}
PEOPLE |= {"test_identities": 4, "cameras_per_identity": 2, "images_per_camera": 2}


def study(name, place, *pairs, file=""):
    """Run a study of one seed and one epoch below ``place`` and return its exit code."""
    config.forget()
    toy = ["data.root", str(place / "data"), "data.save_dir", str(place / "out")]
    toy += ["data.height", "64", "data.width", "32", "train.max_epoch", "1"]
    for key, value in PEOPLE.items():
        toy += [f"adv.virtual.{key}", str(value)]
    toy += ["adv.study.seeds", "[1]", "adv.study.orders", "1"]
    toy += ["adv.plugins", "['scripts.tiny_model']"]
    path = str(CONFIGS / f"{file or name}.yaml")
    code = cli.main(["study", name, "--config-file", path, *toy, *pairs])
    config.forget()
    return code
