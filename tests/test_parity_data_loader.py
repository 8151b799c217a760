"""Loaders against PyTorch's: the same lengths and the same batches where no random numbers are drawn."""

from __future__ import annotations

import numpy as np
import pytest

from minigrad.nn.data import ArrayDataset, DataLoader, SequentialSampler, WeightedRandomSampler, random_split

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.parity


@pytest.mark.parametrize("drop_last", [False, True])
@pytest.mark.parametrize("sampler", [None, [4, 4, 0, 2, 1], range(6)])
@pytest.mark.parametrize("num_workers", [0, 2])
@pytest.mark.parametrize("batch_size", [1, 2, 3, 5, 7, 100])
@pytest.mark.parametrize("samples", [6, 7, 20])
def test_lengths_and_batches(samples, batch_size, num_workers, sampler, drop_last):
    images = np.arange(samples * 12, dtype=np.float32).reshape(samples, 3, 2, 2)
    labels = np.arange(samples) % 3
    options = {"batch_size": batch_size, "sampler": sampler, "drop_last": drop_last}
    theirs = torch.utils.data.DataLoader(
        torch.utils.data.TensorDataset(torch.from_numpy(images), torch.from_numpy(labels)), **options
    )
    if len(theirs) == 0:
        with pytest.raises(ValueError, match="drop_last leaves no batch at all"):
            DataLoader(ArrayDataset(images, labels), **options)
        return
    ours = DataLoader(ArrayDataset(images, labels), num_workers=num_workers, **options)
    assert len(ours) == len(theirs)
    for (x, y), (a, b) in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(x, a.numpy())
        np.testing.assert_array_equal(y, b.numpy())
        assert (x.dtype, y.dtype) == (np.float32, np.int64)


def test_shuffled_batches_have_the_same_sizes_and_samples():
    data = torch.utils.data.TensorDataset(torch.arange(23))
    theirs = list(torch.utils.data.DataLoader(data, 5, shuffle=True, generator=torch.Generator().manual_seed(0)))
    ours = list(DataLoader(ArrayDataset(np.arange(23)), 5, shuffle=True, seed=0))
    assert [len(x) for (x,) in ours] == [len(x) for (x,) in theirs]
    assert sorted(np.concatenate([x for (x,) in ours])) == sorted(torch.cat([x for (x,) in theirs]).tolist())


def test_samplers():
    assert list(SequentialSampler(range(7))) == list(torch.utils.data.SequentialSampler(range(7)))
    weights, n = [1.0, 0.0, 2.0, 5.0], 20_000
    theirs = torch.utils.data.WeightedRandomSampler(weights, n, generator=torch.Generator().manual_seed(0))
    ours = WeightedRandomSampler(weights, n)
    assert len(ours) == len(theirs)
    shares = [np.bincount(list(s), minlength=4) / n for s in (ours, theirs)]
    np.testing.assert_allclose(*shares, atol=0.02)  # two deviations of 0.0035 each


def test_random_split_by_shares_has_the_sizes_of_pytorch():
    for n, shares in ((11, [0.9, 0.1]), (10, [0.75, 0.25]), (11, [0.3, 0.3, 0.4]), (7, [0.2] * 5)):
        ours = random_split(ArrayDataset(np.arange(n)), shares)
        theirs = torch.utils.data.random_split(range(n), shares)
        assert [len(part) for part in ours] == [len(part) for part in theirs], (n, shares)
