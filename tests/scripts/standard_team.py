"""Evaluate a toy model by the standard ensemble, shared among the processes of torchrun.

``standard_team.py PEOPLE OUT``
"""

import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))
from people import Stripes, pixel_model, small_version, write_people

from torchreid_adv.core.processes import joined
from torchreid_adv.defenses import Defended, build_defense
from torchreid_adv.standard.run import evaluate_standard


def main(people: Path, out: Path) -> None:
    torch.set_num_threads(1)
    model = Defended(build_defense("bit_depth", bits=4), pixel_model(Stripes()))
    surrogates = [pixel_model(Stripes(1)), pixel_model(Stripes(2))]
    with joined() as team:
        data = team.first(lambda: write_people(people, identities=4))
        team.wait()  # the others have written the same files once more
        settings = {"version": small_version(), "surrogates": surrogates, "team": team}
        evaluate_standard(model, data, out=out, **settings)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
