"""Names that other projects use for what has another name, or another place, in this package."""

from __future__ import annotations

import re


def name_here(kind: str, name: str) -> str:
    """Return what a name of another project is called here, to follow "unknown attack 'bim'".

    Args:
        kind: what the name stands for, as :attr:`Registry.kind`.
        name: as a user wrote it.

    Returns:
        "; " and the hint, or "" for a name that is not known.
    """
    return next((hint for form, hint in ELSEWHERE.get(kind, ()) if form.fullmatch(name)), "")


def _elsewhere(*pairs: tuple[str, str]) -> tuple[tuple[re.Pattern[str], str], ...]:
    """Return patterns of names that other projects use, each with its hint."""
    return tuple((re.compile(form, re.IGNORECASE), f"; {hint}") for form, hint in pairs)


_FOREIGN_NETWORK = (
    "networks of other projects are named by their format, such as timm:NAME:FILE, "
    "transreid:CHECKOUT:CFG.yml:FILE, hf:FOLDER or python:module:function; see "
    "'torchreid-adv list formats'"
)
# kind -> patterns of names, each with its hint
ELSEWHERE: dict[str, tuple[tuple[re.Pattern[str], str], ...]] = {
    "attack": _elsewhere(
        (r"bim|i[-_ ]?fgsm|(linf_?)?basic_?iterative(_?method|_?attack)?|iterative_?fgsm",
         "BIM, the iterative FGSM, is 'ifgsm' here"),
        (r"mim|mi[-_ ]?fgsm|momentum_?(iterative|ifgsm)\w*", "MI-FGSM is 'mifgsm' here"),
        (r"fgm|fast_?gradient\w*", "the fast gradient sign method is 'fgsm' here"),
        (r"di2?[-_]?(fgsm|m)|dim|input_?diversity", "input diversity is 'difgsm' here"),
        (r"ti[-_]?fgsm|tim", "translation-invariant gradients are 'tifgsm' here"),
        (r"(linf_?)?(pgd[-_]?linf|pgd[-_]?\d+|projected\w*)|linf_?pgd",
         "projected gradient descent is 'pgd' here, adv.attack.steps its number of steps"),
        (r"auto[-_]?pgd|apgd[-_]?(ce|dlr|t|linf)", "APGD on the metric is 'apgd' here"),
        (r"auto[-_]?attack|aa", "an ensemble of attacks is the command 'torchreid-adv standard'"),
        (r"uap|uap[-_]?retrieval|meta[-_]?attack",
         "one perturbation for all images is learned by adv.engine meta_attack and applied by "
         "'universal'"),
        (r"mis[-_ ]?rank\w*", "the generator of Mis-Ranking is 'mis_ranking' here"),
        (r"cw|c&w|deep_?fool|jsma|eot_?pgd|nifgsm|vmi?\w*fgsm|sini\w*|pgdl2|fab|ead\w*",
         "the classes of torchattacks run as adv.attack.name torchattacks, adv.attack.options "
         "{attack: CLASS}"),
    ),
    "model": _elsewhere(
        (r"(vit|swin|deit|beit|convnext|eva|dinov?2?|clip|transreid|solider|timm|efficientnet|"
         r"regnet|maxvit|pass_vit|hf_hub)[\w.:/-]*", _FOREIGN_NETWORK),
        (r"agw|bot|baseline|bagtricks|strong_?baseline",
         "victims of the literature are 'agw_resnet50', 'sb_resnet50' (strong baseline), "
         "'ide_resnet50', 'pcb_resnet50'"),
        (r"[\w./\\~-]*\.(pth|pt|tar|ckpt|onnx|safetensors|py)(-\d+)?",
         "a file is named by model.load_weights; model.name says which network it is of"),
    ),
    "data set": _elsewhere(
        (r"market[-_ ]?1501[-_ ]?v?[\d.]*|market", "it is 'market1501'"),
        (r"duke(mtmc)?([-_]?reid)?", "it is 'dukemtmcreid'"),
        (r"msmt17?[-_]?v[12]|msmt", "it is 'msmt17'"),
        (r"cuhk[-_]?03[-_]?(np|detected|labell?ed)?",
         "it is 'cuhk03'; cuhk03.labeled_images and cuhk03.classic_split choose its version"),
        (r"sysu|sysu[-_]?mm[-_]?01", "it is 'sysu_mm01' (all search) or 'sysu_mm01_indoor'"),
        (r"personx", "it is 'personx_456'"),
        (r"(regdb|llcm|vcm|hitsz[-_]?vcm|bupt[-_]?campus)",
         "it is named with its direction, such as 'regdb_v2i' and 'regdb_i2v'"),
    ),
    "defense": _elsewhere(
        (r"jpg|jpeg_?compression", "it is 'jpeg' here"),
        (r"tv|tvm|tv_?min\w*", "total variation is 'total_variation' here"),
        (r"bit_?(depth_?)?(reduction|red|squeez\w*)|feature_?squeezing", "it is 'bit_depth' here"),
        (r"r_?rp|random_?resiz\w*|random_?(resize_?)?pad\w*",
         "random resizing and padding is 'rrp_xie', or 'rrp_paper' as the joint defense has it"),
    ),
    "distance": _elsewhere(
        (r"l2|sq_?euclidean", "it is 'euclidean' here"),
        (r"cos|cosine_?(distance|similarity)", "it is 'cosine' here"),
    ),
}  # fmt: skip
