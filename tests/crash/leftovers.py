"""What a finished run leaves, without what may differ between two of the same."""

import json
from pathlib import Path

from torchreid_adv.core.manifest import FILE_NAME
from torchreid_adv.core.provenance import without


def left(out):
    """Return what a finished run left: name -> bytes, without what may differ."""
    files = {p.relative_to(out).as_posix(): p for p in sorted(out.rglob("*")) if p.is_file()}
    may_differ = (".ledger", "/files.json")  # the second notes files that were not too young for it
    contents = {n: path.read_bytes() for n, path in files.items() if not n.endswith(may_differ)}
    results = without(json.loads(contents["results.json"]))
    for target in results["targets"].values():
        del target["images_per_second"]
    del results["config"]["data"]["save_dir"], results["config"]["adv"]["job"]
    contents["results.json"] = json.dumps(results, sort_keys=True).encode()
    run = without(json.loads(contents["run.json"]))
    contents["run.json"] = json.dumps(run, sort_keys=True).encode()
    assert any(Path(name).name == FILE_NAME for name in contents)
    return contents
