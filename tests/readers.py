"""What the reader of a page has: data sets below reid-data, and files that no command writes."""

from further_sets import PEOPLE, draw, write_duke, write_msmt17, write_personx
from markets import write_market
from own_sets import write_mot
from small_networks import write_checkpoint
from vcm import write_vcm
from vi_images import write_regdb, write_sysu

USUAL = "model.pth.tar-60"
VICTIM = f"log/osnet_x1_0/model/{USUAL}"
CHECKPOINTS = {  # page -> checkpoint -> its network
    "README": {USUAL: "osnet_x1_0"},
    "card": {"mine.pth": "osnet_x1_0", "theirs.pth": "resnet50"},
    "commands": {VICTIM: "osnet_x1_0"},
    "meta_defense": {USUAL: "ide_resnet50"},
    "ranking_robustness": {f"PATH/{USUAL}": "osnet_x1_0"},
    "reliability": {USUAL: "osnet_x1_0"},
    "robust_training": {"A.pth": "osnet_x1_0", "B.pth": "osnet_x1_0"},
    "standard": {
        "PATH/mine.pth.tar-60": "osnet_x1_0",
        "PATH/theirs.pth.tar-60": "resnet50",
        "PATH/a.pth.tar-60": "resnet50",
        "PATH/b.pth.tar-60": "mlfn",
    },
    "universal_attacks": {USUAL: "resnet50"},
    "your_own_data": {VICTIM: "osnet_x1_0", USUAL: "osnet_x1_0"},
    "your_own_model": {
        VICTIM: "osnet_x1_0",
        f"log/other/model/{USUAL}": "osnet_x1_0",
        "osnet_x0_25_msmt17.pt": "osnet_x0_25",
        "market_sbs_R50.pth": "fastreid",
        "vit.pth": "timm",
    },
}


def write_data(root):
    """Write every data set that a page names."""
    write_market(root, cameras=2, distractors=1, sizes=((32, 16), (30, 15)))
    for write in (write_duke, write_msmt17, write_personx, write_sysu, write_regdb):
        write(root)
    write_vcm(root, test=2, frames=2)


def write_own(place):
    """Write crops with their list, crops in folders, and a tracking sequence."""
    rows = ["path,pid,camid,split"]
    for number in range(2 * PEOPLE):
        for camera in range(2):
            for index in range(2):
                side = "train" if number < PEOPLE else ("gallery" if camera else "query")
                name = f"{number}_{camera}_{index}.jpg"
                draw(place / "cut" / name, number, camera, index)
                rows.append(f"cut/{name},{number},door {camera},{side}")
                draw(
                    place / "crops" / f"{number}" / f"cam{camera}_{index}.jpg",
                    number,
                    camera,
                    index,
                )
    (place / "people.csv").write_text("\n".join(rows) + "\n")
    write_mot(place / "MOT17" / "train" / "MOT17-02-FRCNN")


def equip(place, page):
    """Put into a folder what the reader of a page has."""
    write_data(place / "reid-data")
    (place / "sbs_R50.yml").write_text("INPUT: {SIZE_TEST: [256, 128]}\n")
    if page == "your_own_data":
        write_own(place)
    for seed, (name, network) in enumerate(CHECKPOINTS.get(page, {}).items()):
        write_checkpoint(place / name, network, seed=seed)
