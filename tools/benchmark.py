"""``torchreid-adv benchmark`` as a script."""

import sys

from torchreid_adv.cli import main

if __name__ == "__main__":
    sys.exit(main(["benchmark", *sys.argv[1:]]))
