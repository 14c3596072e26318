"""The page on visible-infrared video: its tables name what there is."""

import re
from pathlib import Path

from torchreid_adv.data.cross_modality.frames import METHODS
from torchreid_adv.registry import DATASETS, PROTOCOLS

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "docs" / "vi_video.md").read_text()
OWN_DATA = (ROOT / "docs" / "your_own_data.md").read_text()


def test_the_tables_name_every_set_protocol_and_frame_rule():
    named = set(re.findall(r"`([a-z0-9_]+)`", TEXT))
    own = "torchreid_adv.data.cross_modality"
    sets = {name for name in DATASETS if DATASETS.get(name).__module__.startswith(own)}
    assert sets | set(METHODS) <= named
    assert set(PROTOCOLS) <= named | set(re.findall(r"`([a-z0-9_]+)`", OWN_DATA))
