"""Without torchattacks and FAISS everything works but what is named after them."""

import ast
import subprocess
import sys
from pathlib import Path

import torchreid_adv

ROOT = Path(torchreid_adv.__file__).parent
TESTS = Path(__file__).parent

ATTACK_AND_EVALUATION = """
import sys
sys.modules["torchattacks"] = sys.modules["faiss"] = None  # an import of either fails
from pathlib import Path
import torch
from people import Stripes, pixel_model, write_people
import torchreid_adv as adv
from torchreid_adv.errors import ConfigError
from torchreid_adv.evaluation import Reranking, topk
from torchreid_adv.evaluation.neighbors import nearest

model, data = pixel_model(Stripes()), write_people(Path("people"))
attack = adv.build_attack("ifgsm", eps=8 / 255, steps=2)
attacked = adv.attack_dataset(model, data, attack, side="gallery", out="run")
clean, after = adv.evaluate(model, data), adv.evaluate(model, attacked)
assert 0 <= after.mAP <= clean.mAP <= 1, (after.mAP, clean.mAP)
values = torch.randn(8, 4)
features = adv.Features(values, torch.arange(8) // 2, torch.arange(8) % 2, tuple("abcdefgh"))
assert 0 < adv.evaluate(features, features, rerank=Reranking()).mAP <= 1
assert topk(features, features, 3).shape == (8, 3)
for refused, word in (
    (lambda: nearest(values, values, 2, backend="faiss"), "pip install 'torchreid_adv[cpu]'"),
    (lambda: adv.build_attack("torchattacks", eps=8 / 255), "pip install torchattacks"),
):
    try:
        refused()
    except ConfigError as error:
        assert word in str(error), error
    else:
        raise AssertionError(word)
print("done")
"""


def test_an_attack_and_an_evaluation_need_neither_torchattacks_nor_faiss(tmp_path):
    path = f"sys.path[:0] = [{str(TESTS)!r}, {str(ROOT.parent)!r}]"
    script = f"import sys; {path}\n{ATTACK_AND_EVALUATION}"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.rstrip().endswith("done")


def named(path):
    """Return the packages that a file imports, also by ``import_module`` of a written name."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found.add((node.module or "").split(".")[0])
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
            found |= {one.value.split(".")[0] for one in node.args if isinstance(one, ast.Constant)}
    return found


def test_one_file_each_imports_torchattacks_and_faiss():
    files = {path.relative_to(ROOT).as_posix(): named(path) for path in ROOT.rglob("*.py")}
    for package, where in {
        "torchattacks": "attacks/torchattacks_adapter.py",
        "faiss": "evaluation/neighbors.py",
    }.items():
        assert [name for name, imports in files.items() if package in imports] == [where]
