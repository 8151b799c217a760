"""The embedded digits, against the figures that UCI and scikit-learn publish."""

import hashlib
from importlib.resources import files

import numpy as np
import pytest

from minigrad import nn


def test_digits():
    images, labels = nn.data.digits()
    assert (images.shape, images.dtype) == ((1797, 8, 8), np.uint8)
    assert (labels.shape, labels.dtype) == ((1797,), np.int64)
    assert (images.min(), images.max()) == (0, 16)
    assert np.bincount(labels).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    assert images[0].tolist()[:2] == [[0, 0, 5, 13, 9, 1, 0, 0], [0, 0, 13, 15, 10, 15, 5, 0]]  # optdigits.tes, line 1


def test_digits_checksums_are_those_in_the_text_beside_them():
    images, labels = nn.data.digits()
    text = files("minigrad.nn.data").joinpath("digits.txt").read_text()
    for array in (images, labels.astype(np.uint8)):
        assert hashlib.sha256(array.tobytes()).hexdigest() in text
    for fact in ("Alpaydin", "Kaynak", "10.24432/C50P49", "CC BY 4.0"):
        assert fact in text


def test_every_call_gives_arrays_of_its_own():
    nn.data.digits()[0][:] = 99
    assert nn.data.digits()[0].max() == 16


def test_samples_are_tuples():
    class Bare(nn.data.Dataset):
        def __len__(self) -> int:
            return 2

        def __getitem__(self, i: int):
            return np.zeros(3)

    with pytest.raises(TypeError, match=r"a sample must be a tuple such as \(image, label\), got ndarray"):
        Bare().batch([0, 1])


def test_random_split_by_numbers_and_by_shares():
    data = nn.data.ArrayDataset(np.arange(11))
    for lengths, sizes in (([7, 4], [7, 4]), ([0.9, 0.1], [10, 1]), ([0.3, 0.3, 0.4], [4, 3, 4]), ([11, 0], [11, 0])):
        parts = nn.data.random_split(data, lengths, np.random.default_rng(0))
        assert [len(part) for part in parts] == sizes
        assert sorted(int(x) for part in parts for (x,) in (part[i] for i in range(len(part)))) == list(range(11))
    for lengths in ([7, 3], [0.5, 0.4], [12, -1], [1.5, -0.5]):
        with pytest.raises(ValueError, match="must add up to the 11 samples of the data set, or to 1 as shares, got"):
            nn.data.random_split(data, lengths)
    one = nn.data.ArrayDataset(np.arange(1))  # shares too, though they add up to its length
    assert [len(part) for part in nn.data.random_split(one, [0.5, 0.5])] == [1, 0]
