import dataclasses
import json

import pytest

from torchreid_adv.core.manifest import FILE_NAME, Entry, Manifest, read_manifest
from torchreid_adv.errors import DataError


def entry(name="query/a.jpg", **changes):
    made = Entry(
        image_id=name,
        source=f"set/{name}",
        source_sha256="1" * 64,
        source_mode="RGB",
        size=(64, 32),
        output=name.replace(".jpg", ".png"),
        side="query",
        pid=1,
        camid=0,
        attacked=True,
        linf=5,
        changed=True,
        sha256="0" * 64,
    )
    return dataclasses.replace(made, **changes)


def test_what_is_written_is_read_back(tmp_path):
    entries = (entry(), entry("gallery/b \u00e9.jpg", side="gallery", attacked=False))
    Manifest({"data": "x"}, entries).write(tmp_path)
    found = read_manifest(tmp_path)
    assert found.entries == entries
    assert found.header == {"data": "x"}
    assert found.side("gallery") == entries[1:]


def damaged(lines, how):
    if how == "cut":
        return lines[:-1]
    if how == "torn":
        return [*lines[:-1], lines[-1][:10]]
    if how == "edited":
        return [lines[0], lines[1].replace('"linf": 5', '"linf": 6'), *lines[2:]]
    if how == "key":
        row = json.loads(lines[1]) | {"more": 1}
        return [lines[0], json.dumps(row), *lines[2:]]
    if how == "other":
        return ["[]", "[]"]
    return []


@pytest.mark.parametrize("how", ["cut", "torn", "edited", "key", "other", "empty"])
def test_a_damaged_manifest_is_refused(tmp_path, how):
    path = Manifest({}, (entry(), entry("query/c.jpg"))).write(tmp_path)
    path.write_text("\n".join(damaged(path.read_text().splitlines(), how)))
    with pytest.raises(DataError, match="manifest"):
        read_manifest(tmp_path)


@pytest.mark.parametrize("output", ["../x.png", "/etc/x.png", "a/../../x.png", "a\0.png"])
def test_a_path_out_of_the_folder_is_refused(tmp_path, output):
    Manifest({}, (entry(output=output),)).write(tmp_path)
    with pytest.raises(DataError, match="cannot be"):
        read_manifest(tmp_path)


def test_a_folder_without_one_is_named(tmp_path):
    with pytest.raises(DataError, match=f"holds no {FILE_NAME}"):
        read_manifest(tmp_path)
