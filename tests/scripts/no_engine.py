"""A script that trains in its own way and never runs an engine of torchreid's."""

import sys

from default_config import get_default_config


def main():
    cfg = get_default_config()
    cfg.merge_from_list(sys.argv[5:])
    print(f"eps {cfg.adv.attack.eps}")
