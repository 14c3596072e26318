"""Forged submissions: whatever somebody may put into a folder to be ranked, or to do harm."""

import contextlib
import json
import os
import shutil
import struct
import zlib

import numpy as np
from forgery import at, changed, leaves, resealed
from PIL import Image

from torchreid_adv.core.manifest import FILE_NAME, Manifest, read_manifest, sha256
from torchreid_adv.standard.reading import RESULT, manifest_hash, sealed

HUGE = 20 * 2**30
WEIRD = (
    None, True, -1, 2**53, 10**17, -0.5, 1e308, 1.0000001, "", "x" * 70_000, "\n<script>", "\ud800",
    "../../etc", "\x1b[2J", [], {}, [[]] * 5, {"a": {"b": [1]}}, "0" * 64, [0.1, 0.2],
)  # fmt: skip
TEXTS = (
    b"", b"[]", b"null", b"{", b'{"schema": 1}', b'{"schema": 1, "schema": 1}', b"[" * 200_000,
    b'{"a":' * 5000, b"\xff\xfe\x00", b"\xef\xbb\xbf{}", b'{"schema": NaN}', b'{"schema": 1e999}',
    b'{"schema": ' + b"9" * 6000 + b"}", b"1" * 3_000_000, b'"' + b"a" * 3_000_000, b"\0" * 4096,
)  # fmt: skip


class Forger:
    """Spoils a copy of an honest run, in a way that a generator draws.

    Args:
        folder: the copy, whose files are its own.
        draws: numpy generator.
        victim: folder with files that must not be read.
    """

    def __init__(self, folder, draws, victim):
        self.folder, self.draws, self.victim = folder, draws, victim

    def one_of(self, things):
        things = list(things)
        return things[int(self.draws.integers(len(things)))]

    @property
    def result(self):
        return json.loads((self.folder / RESULT).read_text())

    def write(self, result, untouched=()):
        resealed(self.folder, result, untouched)

    def place(self):
        return self.one_of(
            sorted(path.parent for path in self.folder.glob(f"*-eps*/*/{FILE_NAME}"))
        )

    def image(self):
        return self.one_of(sorted(self.folder.glob("*-eps*/*/*/*.png")))

    def put(self, path, content):
        """Put bytes, a pipe, a link, a folder or a sparse file into the place of a file."""
        path.unlink(missing_ok=True)
        if isinstance(content, bytes):
            path.write_bytes(content)
        elif content == "pipe":
            os.mkfifo(path)
        elif content == "folder":
            path.mkdir()
        elif content == "sparse":
            with path.open("wb") as file:
                file.truncate(HUGE)
        else:
            path.symlink_to(content)

    def trap(self):
        traps = ["pipe", "folder", "sparse", "/dev/zero", "/proc/self/environ", "/proc/kmsg"]
        return self.one_of([*traps, str(self.victim / "secret"), "/nowhere", *TEXTS])

    def entries(self, change, place=None):
        """Change the entries of a manifest, in all that hold them, and seal everything again."""
        place = place or self.place()
        result, manifest = self.result, read_manifest(place)
        new = change([json.loads(entry.line()) for entry in manifest.entries])
        forged = Manifest(manifest.header, tuple(map(Raw, new)))
        forged.write(place)
        if place.name == "composed":
            track, eps = place.parent.name.split("-eps")
            result["tracks"][track][eps]["manifest"] = forged.root
        result["manifest"] = manifest_hash(result["tracks"])
        (self.folder / RESULT).write_text(json.dumps(sealed(result)))

    # ways to forge, one of which is drawn

    def any_field(self):
        result = self.result
        path = self.one_of(leaves(result))
        self.write(changed(result, path, self.one_of(WEIRD)), path)

    def any_branch(self):
        result = self.result
        path = self.one_of(path[:-1] for path in leaves(result) if len(path) > 1)
        self.write(changed(result, path, self.one_of(WEIRD)), path)

    def several_fields(self):
        result = self.result
        for _ in range(int(self.draws.integers(2, 30))):
            with contextlib.suppress(KeyError, IndexError, TypeError):
                path = self.one_of(leaves(result))
                result = changed(result, path, self.one_of(WEIRD))
        self.write(result)

    def nudged_number(self):
        result = self.result
        numbers = [path for path in leaves(result) if isinstance(at(result, path), float)]
        path = self.one_of(path for path in numbers if path[0] == "tracks")
        value = min(1.0, at(result, path) * (1 + self.draws.uniform(1e-9, 0.2)))
        self.write(changed(result, path, value))

    def better_numbers(self):
        """Higher robust figures, and all that says the same."""
        result = self.result
        part = self.draws.uniform(0.001, 0.9)
        for bounds in result["tracks"].values():
            for facts in bounds.values():
                lift(facts, part)
        self.write(result)

    def other_name(self):
        result = self.result
        result["model"]["name"] = self.one_of(["SOTA", "<b>x</b>", "a\nb", "\ud8ff", "m" * 5000])
        self.write(result)

    def called_standard(self):
        result = self.result
        result["flags"], result["surrogates"] = [], []
        result["standard"] |= {"called_standard": True, "reasons": []}
        self.write(result)

    def other_definition(self):
        result = self.result
        definition = result["standard"]["definition"]
        definition[self.one_of(definition)] = self.one_of([1, 0, 10**9, "lite", [255], [2]])
        self.write(result)

    def no_result(self):
        self.put(self.folder / RESULT, self.trap())

    def no_run(self):
        self.put(self.folder / "run.json", self.trap())

    def no_manifest(self):
        self.put(self.place() / FILE_NAME, self.trap())

    def no_image(self):
        self.put(self.image(), self.trap())

    def long_line(self):
        path = self.place() / FILE_NAME
        lines = path.read_bytes().splitlines(keepends=True)
        self.put(path, b"".join([lines[0], b'{"x": "' + b"a" * 3_000_000, b'"}\n', *lines[1:]]))

    def any_entry(self):
        def change(rows):
            row = self.one_of(range(len(rows)))
            key = self.one_of(rows[row])
            rows[row] = {**rows[row], key: self.one_of(WEIRD)}
            return rows

        self.entries(change)

    def foreign_source(self):
        secret = str(self.victim / "secret")
        sources = ["/dev/zero", "/dev/stdin", "/proc/self/mem", "../../secret", secret, "a\0b", "."]
        source = self.one_of([*sources, str(self.victim / "pipe"), "//", "~root/.x", "C:\\x"])
        self.entries(lambda rows: [{**row, "source": source} for row in rows])

    def foreign_output(self):
        outputs = ["../x.png", "/dev/zero", "CON.png", "a/../b.png", "q\n.png", "\udc80.png"]
        output = self.one_of(outputs)
        self.entries(lambda rows: [{**rows[0], "output": output}, *rows[1:]])

    def twice(self):
        def change(rows):
            again = dict(rows[0])
            kind = self.one_of(["same", "case", "output"])
            if kind == "case":
                again["output"] = again["output"].upper()
            elif kind == "output":
                again["image_id"] = rows[-1]["image_id"]
            return [*rows, again]

        self.entries(change)

    def identities_swapped(self):
        def change(rows):
            for one, other in zip(rows[::2], rows[1::2], strict=False):
                one["pid"], other["pid"] = other["pid"], one["pid"]
            return rows

        self.entries(change)

    def other_bound(self):
        place = self.place()
        manifest = read_manifest(place)
        attack = dict(manifest.header["attack"])
        attack["eps"] = self.one_of([255, None, "2", -1, [], 1e308, True])
        if self.draws.random() < 0.3:
            del attack["eps"]
        header = {**manifest.header, "attack": self.one_of([attack, None, [], "push"])}
        Manifest(header, manifest.entries).write(place)

    def left_out(self):
        away = {"status": "left out: bad", "sha256": "", "source_sha256": "", "source_mode": "",
                "size": [0, 0], "attacked": False, "changed": False, "linf": 0}  # fmt: skip
        self.entries(lambda rows: [{**rows[0], **away}, *rows[1:]])

    def clean_images(self):
        """Originals in the place of attacked images, with manifests that say so."""
        self.other_pixels(lambda pixels: pixels)

    def wide_images(self):
        """Pixels far beyond the bound, with manifests that hide it."""
        self.other_pixels(lambda pixels: 255 - pixels, honest=False)

    def other_pixels(self, change, honest=True):
        place, root = self.place(), self.victim.parent / "data"

        def forged(rows):
            for row in rows:
                original = np.array(Image.open(root / row["source"]).convert("RGB"))
                self.put_png(place / row["output"], change(original))
                row["sha256"] = sha256((place / row["output"]).read_bytes())
                if honest:
                    row |= {"linf": 0, "changed": False}
            return rows

        self.entries(forged, place)

    @staticmethod
    def put_png(path, pixels):
        path.unlink(missing_ok=True)
        Image.fromarray(pixels).save(path)

    def broken_png(self):
        """Valid chunks: too few rows, far too many pixels, or another format's content."""
        path, place = self.image(), None
        width, height = self.one_of([(12, 24), (30_000, 30_000), (2**31 - 1, 2**31 - 1), (0, 0)])
        rows = zlib.compress(b"\0" * int(self.draws.integers(1, 500)))
        head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
        content = b"\x89PNG\r\n\x1a\n" + b"".join(
            map(chunk, (b"IHDR", b"IDAT", b"IEND"), (head, rows, b""))
        )
        self.put(path, content)
        place = path.parent.parent

        def change(entries):
            for row in entries:
                if place / row["output"] == path:
                    row["sha256"] = sha256(content)
            return entries

        self.entries(change, place)

    def missing_attack(self):
        shutil.rmtree(self.one_of(path for path in self.folder.glob("*-eps*/*") if path.is_dir()))

    def further_attack(self):
        place = self.place()
        shutil.copytree(place, place.with_name(self.one_of(["apgd", "push2", "..x", "a\nb"])))

    def linked_folder(self):
        place = self.place()
        shutil.rmtree(place)
        place.symlink_to(self.one_of([self.victim, "/", "/proc/self/fd", place.parent]))

    def further_file(self):
        name = self.one_of(["more.png", "\udcff\udcfe.png", "a\nb.png", ".hidden", "x" * 200])
        (self.place() / name).write_bytes(b"")


class Raw:
    """An entry that is written as it stands."""

    def __init__(self, facts):
        self.facts = facts

    def line(self):
        return json.dumps(self.facts, sort_keys=True)


def chunk(kind, data):
    check = zlib.crc32(kind + data)
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", check)


def lift(facts, part):
    """Raise robust mAP by a part of the way to clean mAP, with all that says the same."""
    mean = facts["robust"]["mAP"]
    mean += part * (facts["clean"]["mAP"] - mean)
    facts["robust"]["mAP"] = mean
    facts["map_ratio"] = mean / facts["clean"]["mAP"]
    facts["interval"] = [mean, mean]
    for row in (facts.get("attacks") or facts["galleries"]).values():
        row["mAP"] = max(row["mAP"], mean)
        row["draws"] = [row["mAP"]]
        if "left" in row:
            row["left"], row["before"] = max(row["left"], mean), max(row["before"], mean)


WAYS = [
    name for name in vars(Forger)
    if not name.startswith("_") and name not in ("one_of", "result", "write", "place", "image",
    "put", "trap", "entries", "other_pixels", "put_png")
]  # fmt: skip


def forge(honest, folder, number, victim):
    """Copy an honest run and forge it in a way that the number decides; return the way's name."""
    shutil.copytree(honest, folder, ignore=shutil.ignore_patterns(".job"))
    draws = np.random.default_rng(number)
    way = WAYS[number % len(WAYS)]
    with contextlib.suppress(UnicodeEncodeError):
        getattr(Forger(folder, draws, victim), way)()
    return way
