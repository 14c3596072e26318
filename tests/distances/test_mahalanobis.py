"""A given matrix, against the formula written out, and what is refused."""

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch.nn import functional as F

from torchreid_adv.distances import Mahalanobis, build_distance
from torchreid_adv.errors import ConfigError


def positive(size, rank=None, seed=0):
    root = torch.randn(size, rank or size, generator=torch.Generator().manual_seed(seed)).double()
    return root @ root.T


@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("rank", [6, 2])
def test_is_the_quadratic_form_of_the_matrix(normalize, rank):
    matrix = positive(6, rank)
    a, b = torch.randn(4, 6).double(), torch.randn(5, 6).double()
    found = Mahalanobis(matrix=matrix, normalize=normalize)(a, b)
    if normalize:
        a, b = F.normalize(a, dim=1), F.normalize(b, dim=1)
    for i, x in enumerate(a):
        for j, y in enumerate(b):
            assert float(found[i, j]) == pytest.approx(float((x - y) @ matrix @ (x - y)), abs=1e-10)


def test_identity_is_the_euclidean_distance():
    a, b = torch.randn(4, 6), torch.randn(5, 6)
    found = Mahalanobis(matrix=torch.eye(6))(a, b)
    assert torch.allclose(found, build_distance("euclidean")(a, b), atol=1e-5)


@pytest.mark.parametrize("suffix", ["npy", "safetensors"])
@pytest.mark.parametrize("kind", ["matrix", "factor"])
def test_matrix_and_factor_come_from_files(tmp_path, suffix, kind):
    factor = torch.randn(5, 3).double()
    content = factor if kind == "factor" else factor @ factor.T
    path = tmp_path / f"metric.{suffix}"
    if suffix == "npy":
        np.save(path, content.numpy())
    else:
        save_file({"other": torch.zeros(2), kind: content}, path)
    a = torch.randn(4, 5).double()
    wanted = Mahalanobis(matrix=factor @ factor.T)(a, a)
    assert torch.allclose(Mahalanobis(**{kind: str(path)})(a, a), wanted, atol=1e-10)


def test_a_float32_map_serves_features_of_both_formats():
    distance = Mahalanobis(matrix=positive(4).float())
    assert distance.map(torch.randn(2, 4)).dtype == torch.float32
    assert distance.map(torch.randn(2, 4).double()).dtype == torch.float64


@pytest.mark.parametrize(
    ("matrix", "sentence"),
    [
        (torch.ones(3, 4), "is square, got"),
        (torch.ones(3), r"table of real numbers, got shape \(3,\)"),
        (torch.zeros(3, 3), "is zero"),
        (torch.tensor([[1.0, 2.0], [0.0, 5.0]]), "is symmetric"),
        (torch.diag(torch.tensor([1.0, -0.05])), "positive semi-definite.*is -0.05"),
        (torch.tensor([[1.0, float("nan")], [float("nan"), 1.0]]), "NaN"),
        (torch.eye(2, dtype=torch.complex64), "real numbers"),
    ],
)
def test_a_matrix_that_is_none_is_refused_in_a_sentence(matrix, sentence):
    with pytest.raises(ConfigError, match=sentence):
        Mahalanobis(matrix=matrix)


def test_negative_eigenvalues_of_rounding_are_taken_for_zero():
    distance = Mahalanobis(matrix=torch.diag(torch.tensor([1.0, -1e-9])))
    assert distance.map(torch.ones(1, 2)).shape == (1, 1)


def pickled(path):
    np.save(path, np.array([{}], dtype=object), allow_pickle=True)


def damaged(path):
    np.save(path, np.eye(3))
    path.write_bytes(path.read_bytes()[:-20])


def nothing(path):
    pass


@pytest.mark.parametrize("write", [pickled, damaged, nothing])
@pytest.mark.parametrize("suffix", ["npy", "safetensors", "txt"])
def test_files_that_cannot_be_used_are_refused_in_a_sentence(tmp_path, write, suffix):
    path = tmp_path / "metric.npy"
    write(path)
    if path.exists():
        path = path.rename(tmp_path / f"metric.{suffix}")
    with pytest.raises(ConfigError, match=r"metric\.") as caught:
        Mahalanobis(matrix=path)
    assert "\n" not in str(caught.value)


def test_several_tensors_of_other_names_are_refused(tmp_path):
    save_file({"a": torch.eye(2), "b": torch.eye(2)}, tmp_path / "metric.safetensors")
    with pytest.raises(ConfigError, match="cannot be read"):
        Mahalanobis(matrix=tmp_path / "metric.safetensors")


def test_one_of_matrix_and_factor_is_needed():
    with pytest.raises(ConfigError, match=r"adv\.distances\.mahalanobis\.matrix"):
        build_distance("mahalanobis")
    with pytest.raises(ConfigError, match="takes a matrix"):
        Mahalanobis(matrix=torch.eye(2), factor=torch.eye(2))


def test_features_of_another_length_are_refused():
    with pytest.raises(ConfigError, match="made for features of 3 numbers, these have 5"):
        Mahalanobis(matrix=torch.eye(3)).map(torch.ones(2, 5))
