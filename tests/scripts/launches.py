"""What is run in a process of its own, under either layout of torchreid: several launches."""

import gc
import json
import sys
from pathlib import Path

from torchreid_adv.cli import main
from torchreid_adv.errors import ConfigError
from torchreid_adv.integration import engine, hooks, layout

SCRIPTS = Path(__file__).parent


def launches(root: str, folder: str) -> None:
    """Train, test what was trained, and run scripts that must be refused."""
    settings = {
        "model.name": "tiny_net",
        "model.pretrained": "False",
        "data.height": "64",
        "data.width": "32",
        "train.batch_size": "8",
        "train.max_epoch": "1",
        "sampler.train_sampler": "BackwardSampler",
        "adv.plugins": "['tiny_plugin']",
        "adv.transforms.lgt.p": "0.7",
        "data.save_dir": folder,
    }
    codes = {}

    def run(title: str, script: str = "main.py", **more: str) -> None:
        changed = {key.replace("__", "."): value for key, value in more.items()}
        pairs = [word for pair in {**settings, **changed}.items() for word in pair]
        flags = ["--transforms", "lgt", "--root", root]
        print(f"@@ {title}", flush=True)
        codes[title] = main(["run", str(SCRIPTS / script), *flags, *pairs])
        gc.collect()
        print("console is open", flush=True)

    before = list(sys.path), list(sys.argv), sys.stdout, set(sys.modules) & {"main"}
    weights = f"{folder}/model/model.pth.tar-1"
    run("train", data__workers="2")
    run("test", data__workers="0", test__evaluate="True", model__load_weights=weights)
    run("missing", test__evaluate="True", model__load_weights="missing.pth")
    run("misfit", test__evaluate="True", model__load_weights=weights, model__name="osnet_x0_25")
    run("unknown key", adv__attack__epss="3")
    run("unknown engine", adv__engine="metric_atack")
    run("never run", script="no_engine.py", adv__engine="metric_attack")
    run("no config", script="no_config.py")
    after = list(sys.path), list(sys.argv), sys.stdout, set(sys.modules) & {"main"}
    assert before == after
    assert not hooks.is_installed()
    assert "default_config" not in sys.modules
    assert engine.adapted_engines() == 2
    print(json.dumps({"codes": codes, "prefix": layout.torchreid_prefix()}))


if __name__ == "__main__":
    assert issubclass(ConfigError, ValueError)
    launches(*sys.argv[1:])
