"""Which parameters each step of Algorithm 1 moves."""

from __future__ import annotations

from torch import nn

from torchreid_adv.models.self_attack.network import SelfAttackVideo

STEMS = ("stem_visible", "stem_infrared")
DEFENDER = ("defender", "defender_last", "cross_middle", "cross_last", "neck")
GROUPS: dict[str, tuple[str, ...]] = {
    "stems": STEMS,  # E^V, E^I
    "attacker": ("attention", "attacker", "neck_attack"),  # E_att with IMSA and its BN
    "defender": DEFENDER,  # E_def with CMCA and its BN
    "guidance": ("guidance",),  # E_lstm
    "classifier_attack": ("classifier_attack",),  # W_att
    "classifier": ("classifier",),  # W_def
    "classifier_parts": ("classifier_parts",),  # W_se
}
_MOVED = {
    "defense": ("stems", "defender", "classifier"),
    "parts": ("stems", "defender", "guidance", "classifier_parts"),
    "attack": ("stems", "attacker", "classifier_attack"),
    "all": tuple(GROUPS),
}


def moved(step: str, *, fixed: bool) -> tuple[str, ...]:
    """Return the groups that a step moves.

    Args:
        step: ``defense``, ``parts``, ``attack`` or ``all``.
        fixed: in the second part of the training, where the classifier stays as it is and the
            defense moves the defender alone.
    """
    if not fixed:
        return _MOVED[step]
    if step == "defense":
        return ("defender",)
    return tuple(group for group in _MOVED[step] if group != "classifier")


def group_parameters(model: SelfAttackVideo, groups: tuple[str, ...]) -> list[nn.Parameter]:
    """Return the parameters of some groups; of modules that are switched off there are none."""
    children = dict(model.named_children())
    names = [name for group in groups for name in GROUPS[group] if name in children]
    return [parameter for name in names for parameter in children[name].parameters()]
