import subprocess
import sys

import numpy as np
import pytest

from torchreid_adv.core.files import require_space
from torchreid_adv.core.manifest import hash_tree, sha256
from torchreid_adv.core.processes import ALONE, Team, joined, parse_shard
from torchreid_adv.errors import ConfigError, DiskError


def test_every_unit_is_somebody_s_and_nobody_else_s():
    for world in (1, 2, 3, 7):
        doers = [[r for r in range(world) if Team(r, world).does(unit)] for unit in range(20)]
        assert all(len(who) == 1 for who in doers)


@pytest.mark.parametrize("shard", ["1", "a/b", "2/2", "-1/2", "0/0", "1/2/3", " 0/2", "٣/٤"])
def test_a_shard_that_is_none_is_refused(shard):
    with pytest.raises(ConfigError, match="shard"):
        parse_shard(shard)


def test_a_shard_cannot_be_inside_of_torchrun(monkeypatch):
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ConfigError, match="torchrun"), joined("0/2"):
        pass


def test_alone_everything_is_known_already():
    counts = np.arange(3)
    assert ALONE.total(counts) is counts
    assert ALONE.shared({"a": 1}) == {"a": 1}
    assert (ALONE.leads, ALONE.whole, parse_shard("1/3").whole) == (True, True, False)


EXCHANGE = """
import sys, numpy as np, torch
from torchreid_adv.core.processes import joined
with joined() as team:
    me = team.rank
    assert (team.world, team.connected, team.leads) == (3, True, me == 0)
    assert team.total(np.array([me, 1])).tolist() == [3, 3]
    own = np.zeros(3); own[me] = [-0.0, 0.1, 1e300][me]
    found = team.assembled(own)
    assert found.tobytes() == np.array([-0.0, 0.1, 1e300]).tobytes(), found
    rows = {0: torch.full((2, 4), 0.1)} if me == 1 else {2: -torch.rand(1, 4)} if me == 2 else {}
    values = team.gathered(rows, 3)
    assert values.shape == (3, 4) and (values[:2] == 0.1).all() and (values[2] <= 0).all()
    assert team.shared({str(me): "\\u00e9" * me}) == {"0": "", "1": "\\u00e9", "2": "\\u00e9" * 2}
    order = []
    team.first(lambda: order.append(me))
    assert order == [me]
"""


def test_connected_processes_exchange_bits(tmp_path):
    script = tmp_path / "exchange.py"
    script.write_text(EXCHANGE)
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "3"]
    run = subprocess.run([*command, str(script)], capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr[-2000:]


def test_room_is_asked_for_in_the_nearest_folder_that_exists(tmp_path):
    require_space(tmp_path / "a" / "b", images=10, pixels=1000)
    with pytest.raises(DiskError, match="GB free"):
        require_space(tmp_path / "a" / "b", images=10**9, pixels=10**17)
    assert not (tmp_path / "a").exists()


def test_the_hash_tree_is_that_of_rfc_6962():
    """Against the recursive definition, and known to tell a leaf from a node."""

    def root(leaves):
        if len(leaves) == 1:
            return bytes.fromhex(sha256(b"\0" + leaves[0]))
        half = 1 << (len(leaves) - 1).bit_length() - 1
        return bytes.fromhex(sha256(b"\1" + root(leaves[:half]) + root(leaves[half:])))

    for count in range(1, 20):
        leaves = [bytes([n]) for n in range(count)]
        assert hash_tree(leaves) == root(leaves).hex()
    assert hash_tree([]) == sha256(b"")
