"""One process, several, and several that read images for one: the same result, to the last byte."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from people import Stripes, pixel_model, small_version, write_people

from torchreid_adv.core.manifest import read_manifest
from torchreid_adv.core.provenance import FIELD
from torchreid_adv.standard.reading import SEAL
from torchreid_adv.standard.run import evaluate_standard

SCRIPT = Path(__file__).parents[1] / "scripts" / "standard_team.py"


def launched(place, world):
    """Run the script in so many processes and return its result and all manifests' roots."""
    command = [sys.executable]
    if world > 1:
        command += ["-m", "torch.distributed.run", "--nproc-per-node", str(world)]
    out = place / f"out{world}"
    command += [str(SCRIPT), str(place / "people"), str(out)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stderr[-2000:]
    return undated(json.loads((out / "standard.json").read_text())), roots(out)


def undated(result):
    """Return a result without where it comes from."""
    return {name: value for name, value in result.items() if name not in (FIELD, SEAL)}


def roots(out):
    folders = sorted(path.parent for path in out.rglob("manifest.jsonl"))
    return {str(f.relative_to(out)): read_manifest(f).root for f in folders}


@pytest.mark.slow
def test_one_process_and_three_give_the_same_result(tmp_path):
    alone, together = launched(tmp_path, 1), launched(tmp_path, 3)
    assert len(alone[1]) >= 12
    assert together == alone


@pytest.mark.slow
def test_processes_that_read_images_change_nothing(tmp_path):
    data = write_people(tmp_path / "people", identities=4)
    found = []
    for workers in (0, 3):
        out = tmp_path / f"out{workers}"
        result = evaluate_standard(
            pixel_model(Stripes()), data, out=out, version=small_version(), workers=workers
        )
        found.append((json.dumps(undated(result)), roots(out)))
    assert found[0] == found[1]
