"""More processes than devices share them, in attacks and in training."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import standins
from markets import write_market
from place import GPU

from torchreid_adv.core.manifest import read_manifest

pytestmark = pytest.mark.gpu

ROOT = Path(__file__).parents[2]


def together(name, *arguments):
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    done = subprocess.run(
        [*command, str(ROOT / "tools" / name), *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([*sys.path, str(standins.SCRIPTS)])},
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.fixture
def pairs(tmp_path):
    write_market(tmp_path / "data", identities=8, cameras=2, images=4, distractors=1)
    small = {"data.root": tmp_path / "data", "data.sources": "['market1501']", "use_gpu": GPU}
    small |= {"data.targets": "['market1501']", "data.height": 64, "data.width": 32}
    small |= {"data.workers": 0, "adv.plugins": "['tiny_plugin']", "model.name": "tiny_net"}
    small |= {"model.pretrained": False, "train.max_epoch": 1, "train.batch_size": 16}
    return [word for pair in small.items() for word in pair]


def test_training_and_attack(pairs, tmp_path):
    out = ["data.save_dir", tmp_path / "train", "adv.engine", "adversarial_training"]
    together("train.py", *pairs, *out, "adv.training.steps", 2, "adv.attack.steps", 2)
    weights = tmp_path / "train" / "model" / "model.pth.tar-1"
    assert weights.is_file()
    out = ["data.save_dir", tmp_path / "attack", "model.load_weights", weights]
    together("attack_gallery.py", *pairs, *out, "adv.attack.name", "ifgsm")
    manifest = read_manifest(tmp_path / "attack" / "market1501" / "adversarial")
    assert any(entry.changed for entry in manifest.entries)
