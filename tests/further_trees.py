"""Small vehicle, clothes, occlusion and view sets in their public layouts, with their truth."""

from trees import Row, Tree, three_folders

SPLITS = (("train", (3, 9)), ("query", (20, 21)), ("gallery", (20, 21)))


def veri(root):
    tree = Tree("veri776", root, "VeRi")
    for side, folder in zip(("train", "query", "gallery"), ("train", "query", "test"), strict=True):
        for pid in dict(SPLITS)[side]:
            for camera in (1, 20) if side != "query" else (1,):
                file = f"image_{folder}/{pid:04d}_c{camera:03d}_00016450_0.jpg"
                tree.put(side, file, pid, camera - 1)
    tree.named = lambda pid, camera: f"image_test/{pid:04d}_c{camera:03d}_00016455_1.jpg"
    return tree


def vehicleid(root):
    """Test images are queries and gallery images, each a camera of its own."""
    tree = Tree("vehicleid", root, "VehicleID_V1.0", folders=False, unlisted=False)
    lists = {"train_list": ((3, 9), 10), "test_list_800": ((20, 21), 30)}
    for name, (people, first) in lists.items():
        lines = []
        for number, pid in enumerate(p for p in people for _ in range(3)):
            image = f"{first + number:07d}"
            if "train" in name:
                tree.put("train", f"image/{image}.jpg", pid, 0)
            else:
                files = tree.put("query", f"image/{image}.jpg", pid, number)
                tree.rows.append(Row("gallery", files, pid, number))
            lines.append(f"{image} {pid}")
        tree.text(f"train_test_split/{name}.txt", lines)
    return tree


def veri_wild(root):
    tree = Tree("veri_wild", root, "VERI-Wild", folders=False, unlisted=False, cameras=False)
    info, lists = ["id/image;Camera ID;Time;Model;Type;Color"], {}
    names = {"train": "train_list", "query": "test_3000_query", "gallery": "test_3000"}
    number = 0
    for side, people in SPLITS:
        for pid in people:
            for camera in (12, 174) if side != "query" else (12,):
                number += 1
                line = f"{pid:05d}/{number:06d}"
                tree.put(side, f"images/{line}.jpg", pid, camera)
                info.append(f"{line};{camera};2018-03-12 08:00:00;Audi;sedan;white")
                lists.setdefault(names[side], []).append(line)
    for name, lines in lists.items():
        tree.text(f"train_test_split/{name}.txt", lines)
    tree.text("train_test_split/vehicle_info.txt", info)
    return tree


def occluded_duke(root):
    tree = Tree("occluded_duke", root, "Occluded_Duke")
    return three_folders(tree, lambda p, c, n: f"{p:04d}_c{c}_f000{n}951.jpg", 50)


def prcc(root):
    tree = Tree("prcc", root, "prcc/rgb", any_name=True)
    for pid in (3, 9):
        for camid, camera in enumerate("ABC"):
            tree.put("train", f"train/{pid:03d}/{camera}_cropped_rgb001.jpg", pid, camid)
    for pid in (20, 21):
        tree.put("query", f"test/C/{pid:03d}/cropped_rgb007.jpg", pid, 2)
        tree.put("", f"test/B/{pid:03d}/cropped_rgb007.jpg", pid, 1)
        tree.put("gallery", f"test/A/{pid:03d}/cropped_rgb007.jpg", pid, 0)
        tree.put("gallery", f"test/A/{pid:03d}/cropped_rgb008.jpg", pid, 0)
    return tree


def prcc_same(root):
    tree = prcc(root)
    rows = [row for row in tree.rows if row.side != "query"]
    files = [f"{tree.home}/test/B/{pid:03d}/cropped_rgb007.jpg" for pid in (20, 21)]
    pairs = zip((20, 21), files, strict=True)
    tree.name, tree.rows = "prcc_same", rows + [Row("query", (f,), pid, 1) for pid, f in pairs]
    return tree


def ltcc(root):
    tree = Tree("ltcc", root, "LTCC_ReID")
    for side, folder in (("train", "train"), ("query", "query"), ("gallery", "test")):
        for pid in dict(SPLITS)[side]:
            for camera, clothes in ((1, 1), (2, 1), (3, 2)) if side != "query" else ((4, 1),):
                file = f"{folder}/{pid:03d}_{clothes}_c{camera}_015833.png"
                tree.put(side, file, pid, camera - 1)
    tree.named = lambda pid, camera: f"test/{pid:04d}_1_c{camera}_015899.png"
    return tree


def ccvid(root):
    tree = Tree("ccvid", root, "CCVID", any_name=True)
    for side, people in SPLITS:
        lines = []
        for pid in people:
            session = 3 if side == "query" else 1
            for camera in (1, 2) if side != "query" else (1,):
                place = f"session{session}/{pid:03d}_{camera:02d}"
                frames = [f"{place}/{number:05d}.jpg" for number in (1, 2)]
                tree.put(side, frames, pid, camera + 12 * (session == 3))
                clothes = "u0_l0_s0_c0_a0" if camera == 1 else "u4_l0_s0_c0_a0"
                lines.append(f"{place}\t{pid:03d}\t{clothes}")
        tree.text(f"{side}.txt", lines)
    return tree


def celeb(root, name="celeb_reid", home="Celeb-reID"):
    """There are no cameras: each image is one."""
    tree = Tree(name, root, home, cameras=False)
    for side, people in SPLITS:
        for pid in people:
            for number in (1, 2):
                file = f"{side}/{pid}_{number}_0.jpg"
                tree.put(side, file, pid, file)
    tree.more = ("gallery/20_9_0.jpg", [("gallery", 20, "one more")])
    return tree


def ag_reid(root):
    tree = Tree("ag_reid_a2g", root, "AG-ReID")
    sides = (("train", "bounding_box_train", (0, 3)), ("query", "query_all_c0", (0,)))
    for side, folder, cameras in (*sides, ("gallery", "bounding_box_test_all_c3", (3,))):
        for label, pid in enumerate((1, 2) if side == "train" else (5, 6)):
            for camera in cameras:
                file = f"{folder}/P{pid:04d}T04090A0C{camera}F0005.jpg"
                tree.put(side, file, pid if side == "train" else label, camera)
                other = file.replace("query_all_c0", "query_all_c3")
                other = other.replace("test_all_c3", "test_all_c0")
                if side != "train":
                    tree.put("", other.replace(f"C{camera}F", f"C{3 - camera}F"), pid, 3 - camera)
    return tree


def ag_reid_back(root):
    tree = ag_reid(root)
    tree.name, rows = "ag_reid_g2a", []
    for row in tree.rows:
        file = row.files[0]
        if row.side == "query":
            file = file.replace("query_all_c0", "query_all_c3").replace("C0F", "C3F")
            row = row._replace(files=(file,), camid=3)
        elif row.side == "gallery":
            file = file.replace("test_all_c3", "test_all_c0").replace("C3F", "C0F")
            row = row._replace(files=(file,), camid=0)
        rows.append(row)
    tree.rows = rows
    return tree


def called(make, name):
    """Return a maker of the same tree under another registered name."""

    def again(root):
        tree = make(root)
        tree.name = name
        return tree

    return again


FURTHER_MAKERS = {
    "veri776": veri,
    "vehicleid": vehicleid,
    "veri_wild": veri_wild,
    "occluded_duke": occluded_duke,
    "prcc": prcc,
    "prcc_same": prcc_same,
    "ltcc": ltcc,
    "ltcc_cc": called(ltcc, "ltcc_cc"),
    "ltcc_sc": called(ltcc, "ltcc_sc"),
    "ccvid": ccvid,
    "ccvid_cc": called(ccvid, "ccvid_cc"),
    "ccvid_sc": called(ccvid, "ccvid_sc"),
    "celeb_reid": celeb,
    "celeb_reid_light": lambda root: celeb(root, "celeb_reid_light", "Celeb-reID-light"),
    "ag_reid_a2g": ag_reid,
    "ag_reid_g2a": ag_reid_back,
}
