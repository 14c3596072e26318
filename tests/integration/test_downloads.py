"""No way of torchreid's to the network is left open; what is kept on this machine is read."""

import ast
import hashlib
from pathlib import Path

import pytest
import torch

from torchreid_adv.errors import AdvError, ConfigError, DataError
from torchreid_adv.integration.datasets import REPLACES as SETS
from torchreid_adv.integration.downloads import REPLACES, published_weights
from torchreid_adv.integration.layout import torchreid_module

FETCHES = {
    *("download", "load_url", "load_state_dict_from_url", "download_url", "urlretrieve"),
    *("urlopen", "download_url_to_file", "system", "popen", "Popen", "check_call", "hub"),
}


def functions(body, module, owner=""):
    """Yield (module, its function or Class.method, syntax tree)."""
    for node in body:
        if isinstance(node, ast.ClassDef):
            yield from functions(node.body, module, f"{node.name}.")
        elif isinstance(node, ast.FunctionDef):
            yield module, f"{owner}{node.name}", node


def calls(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield node.func.attr if isinstance(node.func, ast.Attribute) else ast.unparse(node.func)


def fetching():
    """Return (module, function) of torchreid's functions that call what fetches."""
    root = Path(torchreid_module().__file__).parent
    for path in sorted(root.rglob("*.py")):
        module = ".".join(path.relative_to(root).with_suffix("").parts)
        for place, name, tree in functions(ast.parse(path.read_text()).body, module):
            if FETCHES & set(calls(tree)):
                yield place, name


def test_every_function_of_torchreid_that_fetches_is_replaced():
    replaced = {(m, r.attribute) for r in (*SETS, *REPLACES) for m in r.modules}
    # torchreid.data.datasets has the classes of image.university1652 and others by their names
    names = {name for _, name in replaced}
    routes = set(fetching())
    assert ("utils.tools", "download_url") in routes
    assert ("data.datasets.dataset", "Dataset.download_dataset") in routes
    assert ("data.datasets.image.university1652", "University1652.__init__") in routes
    assert len(routes) > 20
    for module, name in routes:
        by_class = module.startswith("data.datasets.") and name in names
        assert (module, name) in replaced or by_class, f"{module}.{name} still fetches"


@pytest.fixture
def no_network(hooked, monkeypatch, tmp_path):
    """Fail where anything is asked of the network."""
    import socket

    def refused(*_, **__):
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket.socket, "connect", refused)
    monkeypatch.setattr(socket, "getaddrinfo", refused)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    return tmp_path / "torch"


@pytest.mark.parametrize("patch", REPLACES, ids=lambda patch: patch.modules[0])
def test_weights_that_are_not_there_are_a_sentence(no_network, patch):
    module = torchreid_module(patch.modules[0])
    if "." in patch.attribute:
        load, given = module.InceptionResNetV2.load_imagenet_weights, ()
    elif hasattr(module, "pretrained_urls"):
        load, given = module.init_pretrained_weights, (next(iter(module.pretrained_urls)),)
    else:
        load, given = module.init_pretrained_weights, ("https://example.com/x-0123abcd.pth",)
    with pytest.raises(ConfigError, match=rf"'{no_network}.*pth' is missing, and nothing is fetc"):
        load(None, *given)


def test_a_network_of_torchreid_is_built_with_the_weights_that_are_kept(no_network):
    build = torchreid_module("models").build_model
    with pytest.raises(ConfigError, match=r"osnet_x0_25_imagenet\.pth' is missing.*https://drive"):
        build("osnet_x0_25", 4, pretrained=True)
    torch.manual_seed(1)
    kept = build("osnet_x0_25", 4, pretrained=False)
    path = no_network / "checkpoints" / "osnet_x0_25_imagenet.pth"
    path.parent.mkdir(parents=True)
    torch.save(kept.state_dict(), path)
    assert torch.equal(build("osnet_x0_25", 9, pretrained=True).fc[0].weight, kept.fc[0].weight)
    path.write_text("<html>too many downloads</html>")
    with pytest.raises(AdvError, match="osnet_x0_25_imagenet"):
        build("osnet_x0_25", 9, pretrained=True)


def test_a_file_that_is_not_what_its_name_says_is_refused(tmp_path):
    content = b"weights"
    name = f"net-{hashlib.sha256(content).hexdigest()[:8]}.pth"
    path = tmp_path / name
    path.write_bytes(content)
    assert published_weights(f"https://example.com/{name}", path) == path
    path.write_bytes(b"other")
    with pytest.raises(ConfigError, match="is damaged"):
        published_weights(f"https://example.com/{name}", path)


def test_files_of_data_sets_are_not_fetched(no_network, tmp_path):
    for module in ("utils", "utils.tools", "data.datasets.dataset"):
        with pytest.raises(DataError, match="nothing is fetched; get http://x"):
            torchreid_module(module).download_url("http://x/y.zip", str(tmp_path / "y.zip"))
    for name in ("market1501", "university1652", "viper"):
        with pytest.raises(DataError, match="was not found: folder"):
            torchreid_module("data.datasets").init_image_dataset(name, root=str(tmp_path))
    assert not (tmp_path / "university1652").exists()
