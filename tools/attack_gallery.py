"""``torchreid-adv attack-gallery`` as a script."""

import sys

from torchreid_adv.cli import main

if __name__ == "__main__":
    sys.exit(main(["attack-gallery", *sys.argv[1:]]))
