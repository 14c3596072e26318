"""``torchreid-adv train`` as a script."""

import sys

from torchreid_adv.cli import main

if __name__ == "__main__":
    sys.exit(main(["train", *sys.argv[1:]]))
