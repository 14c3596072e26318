"""``python -m torchreid_adv``."""

from torchreid_adv.cli import entry

if __name__ == "__main__":
    entry()
