"""Patterns of networks: the language, the networks it builds, and the way back."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from functools import cache

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import minigrad as mg
from minigrad import models, nn
from minigrad.models.pattern_grammar import (
    OPTIONS,
    Argument,
    Group,
    Layer,
    Part,
    PatternError,
    fold,
    parse,
    show,
    unroll,
)
from minigrad.models.pattern_words import WORDS, WRITTEN, plan, written
from tests.cudaemu import fake_cupy

LECTURE = (
    "INPUT 3x32x32 -> [[CONV 64 -> RELU]*2 -> POOL] -> [[CONV 128 -> RELU]*2 -> POOL] -> [FC 512 -> RELU]*2 -> FC 10"
)


def leaves(model: nn.Module) -> list[nn.Module]:
    return [m for m in model.modules() if next(m.children(), None) is None and not isinstance(m, nn.Sequential)]


def size(model: nn.Module) -> int:
    return sum(p.size for p in model.parameters())


# ---- the language ---------------------------------------------------------------------------------------------------

words = st.from_regex(r"[A-Za-z_][A-Za-z_0-9]{0,8}", fullmatch=True)
flags = words.map(str.lower).filter(lambda word: word not in OPTIONS)
numbers = st.integers(0, 10**9 - 1) | st.floats(0, allow_nan=False, allow_infinity=False)
values = numbers | st.lists(st.integers(0, 999), min_size=2, max_size=4).map(tuple)
arguments = st.builds(Argument, values | flags) | st.builds(
    Argument, values | flags, st.sampled_from(sorted(set(OPTIONS.values()))) | flags
)
layers = st.builds(Layer, words.map(str.upper), st.lists(arguments, max_size=3).map(tuple), st.booleans())
counts = st.integers(0, 12) | words.map(str.upper)
trees = st.recursive(
    layers, lambda part: st.builds(Group, st.lists(part, min_size=1, max_size=3).map(tuple), counts), max_leaves=8
)
patterns = st.lists(trees, min_size=1, max_size=4).map(tuple)


@given(patterns)
def test_what_is_shown_is_read_as_the_same_tree(parts: tuple[Part, ...]) -> None:
    assert parse(show(parts)) == parts


@given(patterns)
def test_case_arrows_brackets_and_white_space_do_not_matter(parts: tuple[Part, ...]) -> None:
    text = show(parts)
    spaced = re.sub(r"([][*?=])", r" \1\n", text.replace("->", "→")).translate(str.maketrans("[]", "()"))
    assert parse(spaced) == parts
    assert parse(text.lower()) == parts


PIECES = [
    *"[]()*?=x-> ",
    "->",
    "→",
    "*2",
    "*N",
    "INPUT 3x8x8",
    "INPUT",
    "2",
    "0",
    "0.5",
    "3x3",
    "é",
    "\n",
    *sorted(OPTIONS),
]
PIECES += ["same", "avg", "ceil", "nobias", *(f" {word} " for word in sorted(WORDS))]


@settings(max_examples=300)
@given(st.lists(st.sampled_from(PIECES), max_size=12).map(" ".join), st.booleans())
def test_any_text_is_a_pattern_or_an_error_with_a_caret_inside_the_text(text: str, begin: bool) -> None:
    text = "INPUT 3x8x8 -> CONV 2 -> " * begin + text
    try:
        models.from_pattern(text)
    except PatternError as error:
        where, line, caret = str(error).rsplit("\n", 2)
        assert re.match(r"(line \d+, )?character \d+ of the pattern: ", where)
        assert line[4:] in text
        assert caret.strip() == "^"
        assert len(caret) <= max(len(line), 4) + 1


SHORTHAND = {
    "CONV 8 k=5 s=2 p=1 d=3 g=4": "CONV 8 kernel=5 stride=2 pad=1 dilation=3 groups=4",
    "conv 8 5x5 Stride 2 padding 0": "CONV 8 5x5 stride=2 pad=0",
    "CONV 8 5×5 pad same nobias": "CONV 8 5x5 pad=same nobias",  # noqa: RUF001
    "POOL*2": "[POOL]*2",
    "[POOL]*1": "[POOL]",
    "POOL max 3 ? * m": "[POOL max 3?]*M",
    "DROPOUT .5 -> DROPOUT 1. -> DROPOUT 1e-3": "DROPOUT 0.5 -> DROPOUT 1.0 -> DROPOUT 0.001",
    "(CONV 8 → relu)*2\n → pool": "[CONV 8 -> RELU]*2 -> POOL",
}


@pytest.mark.parametrize("text", SHORTHAND)
def test_shorthand(text: str) -> None:
    assert show(parse(text)) == SHORTHAND[text]


@given(st.lists(st.sampled_from("ABC"), max_size=9))
@example(list("ABAABA"))
@example(list("AABAABC"))
def test_folding_loses_nothing_and_writes_as_few_layers_as_can_be(word: list[str]) -> None:
    sequence = tuple(Layer(letter) for letter in word)
    folded = fold(sequence)
    assert tuple(unroll(folded)) == sequence
    assert len(re.findall(r"[ABC]", show(folded))) == fewest("".join(word))


@cache
def fewest(word: str) -> int:
    """Over every way to cut a word in two, and every way to see it as a repetition."""
    if len(word) <= 1:
        return len(word)
    whole = [fewest(word[:p]) for p in range(1, len(word)) if word == word[:p] * (len(word) // p)]
    return min(whole + [fewest(word[:i]) + fewest(word[i:]) for i in range(1, len(word))])


# ---- from a pattern to a network ------------------------------------------------------------------------------------


def test_the_pattern_of_the_lecture() -> None:
    """Three blocks of two convolutions on 32x32: the parameters by hand, layer by layer."""
    text = "INPUT 3x32x32 -> [[CONV {} -> RELU]*2 -> POOL] -> [FC 512 -> RELU]*2 -> FC 10"
    blocks = "]*2 -> POOL] -> [[".join(f"CONV {width} -> RELU" for width in (64, 128, 256))
    net = models.from_pattern(text.replace("CONV {} -> RELU", blocks))
    sizes = [
        n_in * n_out * 9 + n_out for n_in, n_out in ((3, 64), (64, 64), (64, 128), (128, 128), (128, 256), (256, 256))
    ]
    dense = [n_in * n_out + n_out for n_in, n_out in ((256 * 4 * 4, 512), (512, 512), (512, 10))]
    weighted = [layer for layer in leaves(net) if next(layer.parameters(), None) is not None]
    assert [size(layer) for layer in weighted] == sizes + dense
    assert sum(sizes) == size(net.features) == 1_145_408
    assert size(net) == 3_510_858
    assert len(weighted) == 9
    assert repr(models.convnet((3, 32, 32), N=2, M=3, K=2, widths=(64, 128, 256))) == repr(net)
    assert net(mg.zeros((2, 3, 32, 32))).shape == (2, 10)


def test_names_and_parts() -> None:
    net = models.from_pattern("INPUT 1x8x8 -> CONV 2 -> RELU -> CONV 4 -> BN -> POOL -> DROPOUT -> FC 3 -> FC 2")
    assert [name for name, _ in net.named_parameters()] == [
        *("features.0.weight", "features.0.bias", "features.2.weight", "features.2.bias"),
        *("features.3.weight", "features.3.bias", "classifier.1.weight", "classifier.1.bias"),
        *("classifier.2.weight", "classifier.2.bias"),
    ]
    assert isinstance(net.classifier[0], nn.Flatten)
    early = models.from_pattern("INPUT 1x8x8 -> FLATTEN -> DROPOUT 0.25 -> FC 2")
    assert [type(layer) for layer in early.classifier] == [nn.Flatten, nn.Dropout, nn.Linear]
    assert [name for name, _ in early.named_children()] == ["classifier"]
    assert [name for name, _ in models.from_pattern("INPUT 1x8x8 -> CONV 2").named_children()] == ["features"]
    assert len(models.from_pattern("INPUT 5")) == 0


LAYERS = {
    # a pattern                                | the layers that it has
    "INPUT 3x9 -> CONV 8": [nn.Conv1d(3, 8, 3, padding=1)],
    "INPUT 3x9 -> CONV 8 5 dilation=2": [nn.Conv1d(3, 8, 5, padding=4, dilation=2)],
    "INPUT 3x9x8 -> CONV 64 k=5 s=2 p=2": [nn.Conv2d(3, 64, 5, 2, 2)],
    "INPUT 3x9x8 -> CONV 64 5x5 stride 2 pad 0": [nn.Conv2d(3, 64, 5, 2)],
    "INPUT 3x9x8 -> CONV 8 1x3": [nn.Conv2d(3, 8, (1, 3), padding=(0, 1))],
    "INPUT 3x9x8 -> CONV 8 4x4": [nn.Conv2d(3, 8, 4, padding=1)],
    "INPUT 3x9x8 -> CONV 8 pad same s=2x1": [nn.Conv2d(3, 8, 3, (2, 1), "same")],
    "INPUT 4x9x8 -> CONV 8 groups=4 nobias": [nn.Conv2d(4, 8, 3, padding=1, groups=4, bias=False)],
    "INPUT 1x5x5x5 -> CONV 2": [nn.Conv3d(1, 2, 3, padding=1)],
    "INPUT 1x3x3x3x3 -> CONV 2": [nn.ConvNd(1, 2, (3, 3, 3, 3), padding=1)],
    "INPUT 3x9 -> POOL": [nn.MaxPool1d(2)],
    "INPUT 3x9x9 -> POOL max 3 s=2": [nn.MaxPool2d(3, 2)],
    "INPUT 3x9x9 -> POOL 3 s=2 p=1 d=2 ceil": [nn.MaxPool2d(3, 2, 1, 2, ceil_mode=True)],
    "INPUT 3x9x9 -> AVGPOOL 2x3 -> AVGPOOL": [nn.AvgPool2d((2, 3), (2, 3)), nn.AvgPool2d(2)],
    "INPUT 3x9x9 -> POOL avg -> POOL min": [nn.AvgPool2d(2), nn.MinPool2d(2)],
    "INPUT 3x9x9x9 -> MINPOOL -> MAXPOOL": [nn.MinPool3d(2), nn.MaxPool3d(2)],
    "INPUT 3x9x9 -> GLOBALPOOL": [nn.GlobalAvgPool()],
    "INPUT 3x9x9 -> GLOBALPOOL max": [nn.GlobalMaxPool()],
    "INPUT 3x9 -> GLOBALMINPOOL": [nn.GlobalMinPool()],
    "INPUT 3x9x9 -> ADAPTIVEPOOL 7x6 -> ADAPTIVEPOOL max 4": [nn.AdaptiveAvgPool2d((7, 6)), nn.AdaptiveMaxPool2d(4)],
    "INPUT 3x9x9 -> BN -> DROPOUT": [nn.BatchNorm2d(3), nn.Dropout(0.5)],
    "INPUT 8 -> BN -> FC 4 nobias -> SOFTMAX": [nn.BatchNorm1d(8), nn.Linear(8, 4, bias=False), nn.Softmax(1)],
    "INPUT 8 -> LEAKYRELU 0.2 -> ELU -> PRELU 8": [nn.LeakyReLU(0.2), nn.ELU(), nn.PReLU(8)],
    "INPUT 8 -> TANH -> SIGMOID -> SCALEDTANH": [nn.Tanh(), nn.Sigmoid(), nn.ScaledTanh()],
    "INPUT 3x4x5 -> FC 2": [nn.Flatten(), nn.Linear(60, 2)],
    "INPUT 8 -> FLATTEN -> FC 2": [nn.Flatten(), nn.Linear(8, 2)],
    "INPUT 8 -> [FC 4 -> RELU]*0 -> FC 2 -> RELU*0": [nn.Linear(8, 2)],
    "INPUT 1x4x4 -> [CONV 2 -> [RELU]*2]*2": [
        *(nn.Conv2d(1, 2, 3, 1, 1), nn.ReLU(), nn.ReLU()),
        *(nn.Conv2d(2, 2, 3, 1, 1), nn.ReLU(), nn.ReLU()),
    ],
    "INPUT 1x4x4 -> [POOL?]*9 -> FC 2": [nn.MaxPool2d(2), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(1, 2)],
}


@pytest.mark.parametrize("text", LAYERS)
def test_layers(text: str) -> None:
    net = models.from_pattern(text)
    assert list(map(repr, leaves(net))) == list(map(repr, LAYERS[text]))
    shape = parse(text)[0].arguments[0].value
    x = mg.randn(2, *(shape if isinstance(shape, tuple) else (shape,)))
    for layer in leaves(net):
        planned = plan(written(layer), x.shape[1:]).shape
        x = layer(x)
        assert planned == x.shape[1:]


def test_every_word_is_built_and_every_class_that_can_be_written_is() -> None:
    built = {type(leaf) for text in LAYERS for leaf in leaves(models.from_pattern(text))}
    shorter = [word for word in WORDS if word not in ("CONV", "POOL", "ADAPTIVEPOOL") and not WORDS[word].places]
    shorter += ["LEAKYRELU", "PRELU", "ELU", "CELU", "SOFTPLUS"]
    built |= {type(leaf) for word in shorter for leaf in leaves(models.from_pattern(f"INPUT 2x4x4 -> {word}"))}
    for n in (1, 2, 3):
        pools = "AVGPOOL 1 -> MINPOOL 1 -> POOL 1 -> ADAPTIVEPOOL 2 -> ADAPTIVEMAXPOOL 2"
        built |= {type(leaf) for leaf in leaves(models.from_pattern(f"INPUT 2{'x4' * n} -> BN -> CONV 2 -> {pools}"))}
    assert built == set(WRITTEN)


def test_the_letters_of_the_lecture() -> None:
    text = "INPUT 3x8x8 -> [(CONV 4 -> RELU)*N -> POOL?]*M -> [FC 6 -> RELU]*K -> FC 2"
    net = models.from_pattern(text, N=2, m=4, K=np.int64(1))
    assert [type(layer).__name__ for layer in net.features].count("MaxPool2d") == 3  # 8, 4, 2, 1
    assert models.to_pattern(net, (3, 8, 8)) == (
        "INPUT 3x8x8 -> [[CONV 4 -> RELU]*2 -> POOL]*3 -> [CONV 4 -> RELU]*2 -> FC 6 -> RELU -> FC 2"
    )
    assert models.to_pattern(models.from_pattern(text, N=0, M=0, K=0), (3, 8, 8)) == "INPUT 3x8x8 -> FC 2"


def test_weights_follow_the_seed() -> None:
    def weights() -> list:
        mg.manual_seed(3)
        return [p.tolist() for p in models.from_pattern("INPUT 1x4x4 -> CONV 2 -> FC 2").parameters()]

    assert weights() == weights()


def test_every_parameter_gets_a_gradient() -> None:
    net = models.convnet((2, 8, 8), 2, 2, 1, 4, hidden=5, num_classes=3, activation="BN -> TANH")
    nn.CrossEntropyLoss()(net(mg.randn(6, 2, 8, 8)), mg.tensor([0, 1, 2, 0, 1, 2])).backward()
    for name, p in net.named_parameters():  # a batch norm takes away whatever the bias before it adds
        assert abs(p.grad.numpy()).max() > 0, name


# ---- by numbers -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("build", "text"),
    [
        (
            lambda: models.convnet((3, 32, 32), 2, 2, 2, (64, 128), hidden=9),
            "INPUT 3x32x32 -> [CONV 64 -> RELU]*2 -> POOL -> [CONV 128 -> RELU]*2 -> POOL -> [FC 9 -> RELU]*2 -> FC 10",
        ),
        (lambda: models.convnet((3, 8, 8), 1, 0, 0), "INPUT 3x8x8 -> FC 10"),
        (lambda: models.convnet((784,), 1, 0, 0, num_classes=3), "INPUT 784 -> FC 3"),
        (lambda: models.convnet((784,), 0, 0, 3, hidden=9), "INPUT 784 -> [FC 9 -> RELU]*3 -> FC 10"),
        (lambda: models.convnet((4,), 0, 0, 2, hidden=(9, 8)), "INPUT 4 -> FC 9 -> RELU -> FC 8 -> RELU -> FC 10"),
        (
            lambda: models.convnet(
                (1, 16), (1, 2), 2, 0, 4, conv="5 nobias", pool="MINPOOL", activation="BN -> ELU", num_classes=2
            ),
            "INPUT 1x16 -> CONV 4 5 nobias -> BN -> ELU -> MINPOOL -> [CONV 4 5 nobias -> BN -> ELU]*2 -> MINPOOL "
            "-> FC 2",
        ),
        (lambda: models.convnet((1, 4, 4, 4), 1, 2, 0, 2, pool=None), "INPUT 1x4x4x4 -> [CONV 2 -> RELU]*2 -> FC 10"),
    ],
)
def test_convnet(build: Callable, text: str) -> None:
    net = build()
    assert repr(net) == repr(models.from_pattern(text))
    shape = tuple(map(int, text.split()[1].split("x")))
    assert models.to_pattern(net, shape) == text
    assert net(mg.zeros((2, *shape))).shape == (2, net.classifier[-1].out_features)


def test_vgg_16_is_one_of_them() -> None:
    """The convolutions of VGG-16 have 14,714,688 parameters (Simonyan and Zisserman 2015, table 1, column D)."""
    net = models.convnet((3, 32, 32), (2, 2, 3, 3, 3), 5, 2, (64, 128, 256, 512, 512), hidden=8)
    assert size(net.features) == 14_714_688
    assert models.to_pattern(net.features) == (
        "INPUT 3x32x32 -> [CONV 64 -> RELU]*2 -> POOL -> [CONV 128 -> RELU]*2 -> POOL -> [CONV 256 -> RELU]*3 -> POOL"
        " -> [[CONV 512 -> RELU]*3 -> POOL]*2"
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"N": -1}, "N must be a whole number of at least 0, or 2 of them, got -1"),
        ({"N": (1, 2, 3)}, r"N must be a whole number of at least 0, or 2 of them, got \(1, 2, 3\)"),
        ({"widths": 0}, "widths must be a whole number of at least 1, or 2 of them, got 0"),
        ({"hidden": 1.5}, "hidden must be a whole number of at least 1, or 1 of them, got 1.5"),
        ({"M": 1.5}, "M must be an integer of at least 0, got 1.5"),
        ({"K": -1}, "K must be an integer of at least 0, got -1"),
        ({"input_shape": (3, 0)}, r"input_shape must be an integer of at least 1, or 2 of them, got \(3, 0\)"),
        ({"num_classes": 0}, "FC expects its number of outputs, a whole number of at least 1, got 0"),
        ({"M": 4}, r"POOL has no room in maps of 1x1: floor\(\(1 - 2\)/2\) \+ 1 = 0"),
    ],
)
def test_numbers_that_do_not_fit(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        models.convnet(**{"input_shape": (3, 8, 8), "N": 1, "M": 2, "K": 1} | options)


# ---- errors ---------------------------------------------------------------------------------------------------------

ERRORS = {  # the text, with ^ before the character at which the error points
    "^": "expected a layer or '[', got the end",
    "INPUT 3x8x8 -> ^": "expected a layer or '[', got the end",
    "INPUT 3x8x8 -> ^-> FC 2": "expected a layer or '[', got '->'",
    "INPUT 3x8x8 ^[FC 2]": "expected an argument, '->' or the end, got '['",
    "INPUT 3x8x8 -> [FC 2] ^FC 2": "expected '->' or the end, got 'FC'",
    "INPUT 3x8x8 -> POOL? ^2": "expected '->' or the end, got '2'",
    "INPUT 3x8x8 -> [FC 2 -> RELU^": "expected an argument, '->' or ']', for the bracket at character 16, got the end",
    "INPUT 3x8x8 -> (FC 2 -> RELU^]": "expected an argument, '->' or ')', for the bracket at character 16, got ']'",
    "INPUT 3x8x8 -> FC 2^]": "expected an argument, '->' or the end, got ']'",
    "INPUT 3x8x8 ^- FC": "'-' has no meaning in a pattern; the arrow is '->'",
    "INPUT 3x8x8 -> FC 2^%": "'%' has no meaning in a pattern",
    "INPUT 3x8x8 -> CONV 8 stride^": "expected a value for stride, got the end",
    "INPUT 3x8x8 -> CONV 8 s=^-> RELU": "expected a value for s, got '->'",
    "INPUT 3x8x8 -> RELU*^2.5": "expected how many times, a whole number or a letter that stands for one, got '2.5'",
    "INPUT 3x8x8 -> FC ^1234567890": "1234567890 is too large",
    "INPUT 3x8x8 -> " + "[" * 50 + "^[FC 2": "brackets are nested more than 50 deep",
    "INPUT 3x8x8 -> [FC 2]*^20000": "a pattern of more than 10,000 layers",
    "INPUT 3x8x8 -> [FC 2]*^N": "nothing says how often *N is: pass N=2, say",
    "^FC 3": "expected INPUT and the shape of one input, as in INPUT 3x32x32",
    "^[INPUT 3 -> FC 3]": "expected INPUT and the shape of one input, as in INPUT 3x32x32",
    "^INPUT -> FC 3": "INPUT expects one shape of sizes of at least 1, as in INPUT 3x32x32 or INPUT 784",
    "^INPUT 3x0 -> FC 3": "INPUT expects one shape of sizes of at least 1, as in INPUT 3x32x32 or INPUT 784",
    "^INPUT 3 3 -> FC 3": "INPUT expects one shape of sizes of at least 1, as in INPUT 3x32x32 or INPUT 784",
    "INPUT 3x8x8 -> FC 3 -> ^INPUT 3": "INPUT can only come first, and once",
    "INPUT 3x8x8 -> ^CONF 8": "expected a layer, got 'CONF'; did you mean CONV?",
    "INPUT 3x8x8 -> ^RELUU": "expected a layer, got 'RELUU'; did you mean RELU?",
    "INPUT 3x8x8 -> ^QQ": "expected a layer, got 'QQ'",
    "INPUT 3x8x8 -> ^CONV": "CONV expects its number of maps: it is written CONV 64 5x5",
    "INPUT 3x8x8 -> CONV ^5x5": "CONV expects its number of maps, a whole number of at least 1, got 5x5",
    "INPUT 3x8x8 -> CONV 8 ^3x3x3": "CONV expects for kernel a number of at least 1, or 2 of them as in 3x3, got 3x3x3",
    "INPUT 3x8 -> CONV 8 ^stride=0": "CONV expects for stride a number of at least 1, got 0",
    "INPUT 3x8 -> CONV 8 ^pad=some": "CONV expects for pad numbers or one of valid, same, same_lower, full, got some",
    "INPUT 3x8x8 -> CONV 8 3 ^3": "CONV takes no number here; it is written CONV 64 5x5",
    "INPUT 3x8x8 -> CONV 8 ^strid 2": "CONV has no option 'strid'; did you mean stride?",
    "INPUT 3x8x8 -> CONV 8 3 ^kernel=3": "CONV has kernel twice",
    "INPUT 3x8x8 -> FC 8 ^xyz=3": "FC has no option 'xyz'; it has nobias",
    "INPUT 3x8x8 -> RELU ^xyz": "RELU has no option 'xyz'; it has none",
    "INPUT 3x8x8 -> CONV 8 ^groups=2": "CONV has groups=2, which must divide the 3 maps it gets and the 8 it gives",
    "INPUT 3x8x8 -> FC 3 -> ^CONV 8": "CONV expects maps, as of INPUT 3x32x32, but its input is a vector of 3 numbers",
    "INPUT 3x2x2x2x2 -> ^POOL": "POOL is there for maps of up to 3 axes, not for 4",
    "INPUT 3x8x8 -> POOL max ^avg": "POOL is max and avg at once; choose one",
    "INPUT 3x8x8 -> POOL avg ^d=2": "POOL has no dilation where it takes the mean",
    "INPUT 3x8x8 -> ^ADAPTIVEPOOL": "ADAPTIVEPOOL expects the size of its output: it is written ADAPTIVEPOOL 7x7",
    "INPUT 3x8x8 -> DROPOUT ^2": "DROPOUT expects a probability, between 0 and 1, got 2",
    "INPUT 3x8x8 -> LEAKYRELU ^2x2": "LEAKYRELU expects for negative_slope one number, got 2x2",
    "INPUT 3x8x8 -> PRELU ^2": "PRELU has 1 slope, or one for each of the 3 channels, not 2",
    "INPUT 3x8x8 -> ^CELU 0": "CELU: alpha must be above 0, got 0",
    "INPUT 3x8x8 -> ^FC 3?": "only a pooling can be optional, not FC",
    "INPUT 3x32x32 -> [[CONV 2 -> RELU]*2 -> ^POOL]*6 -> FC 10": "POOL has no room in maps of 1x1: floor((1 - 2)/2) + "
    "1 = 0; it would be features.29, after maps of 32x32, 16x16, 8x8, 4x4, 2x2, 1x1",
    "INPUT 3x9x8 -> CONV 2 5x5 pad=0 -> ^CONV 2 3x5 pad=0 s=2": "CONV has no room in maps of 5x4: (5 - 3)/2 + 1 = "
    "2 and floor((4 - 5)/2) + 1 = 0; it would be features.1, after maps of 9x8, 5x4",
    "INPUT 32x32x3 -> [^POOL]*3": "POOL has no room in maps of 16x1: (16 - 2)/2 + 1 = 8 and floor((1 - 2)/2) + 1 = 0; "
    "it would be features.1, after maps of 32x3, 16x1; channels come first: INPUT 3x32x32?",
    "INPUT 3x8 -> ^POOL 2 pad=2": "POOL does not fit maps of 8: a window sees only padding on spatial axis 0: window 0 "
    "reads the elements -2 to -1, 1 apart, of an input of 8 with padding 2 + 2; it would be features.0, "
    "after maps of 8",
}


@pytest.mark.parametrize("marked", ERRORS)
def test_an_error_points_at_the_character(marked: str) -> None:
    text, at = marked.replace("^", ""), marked.index("^")
    with pytest.raises(PatternError) as caught:
        models.from_pattern(text)
    line = text.rstrip()
    at = min(at, len(line))
    assert str(caught.value) == f"character {at + 1} of the pattern: {ERRORS[marked]}\n    {line}\n    {' ' * at}^"


def test_an_error_shows_its_line_of_the_text() -> None:
    with pytest.raises(PatternError) as caught:
        models.from_pattern("INPUT 3x8x8\n  -> CONV 8\n\t-> FOO 3\n  -> FC 3\n")
    assert (
        str(caught.value)
        == "line 3, character 5 of the pattern: expected a layer, got 'FOO'\n    \t-> FOO 3\n    \t   ^"
    )


@pytest.mark.parametrize(
    ("counts", "kind", "message"),
    [
        ({"N": 1, "M": 2}, TypeError, r"from_pattern is given M=2, but the pattern has no \*M"),
        ({"N": 1.5}, TypeError, "N must be an integer, got 1.5"),
        ({"N": True}, TypeError, "N must be an integer, got True"),
        ({"N": -1}, ValueError, "N must be at least 0, got -1"),
    ],
)
def test_counts_that_do_not_fit(counts: dict, kind: type, message: str) -> None:
    with pytest.raises(kind, match=message):
        models.from_pattern("INPUT 3 -> [FC 2]*N", **counts)


def test_a_pattern_is_a_text() -> None:
    with pytest.raises(TypeError, match="a pattern is a text, as in 'INPUT 3x32x32 -> FC 10', got 3"):
        models.from_pattern(3)


# ---- from a network to its pattern ----------------------------------------------------------------------------------


@pytest.mark.parametrize("text", [*LAYERS, LECTURE])
def test_there_and_back(text: str) -> None:
    shape = parse(text)[0].arguments[0].value
    net = models.from_pattern(text)
    again = models.from_pattern(models.to_pattern(net, shape if isinstance(shape, tuple) else (shape,)))
    assert repr(again) == repr(net)


steps = st.sampled_from(
    [
        "CONV 2",
        "CONV 3 5x3 s=2 nobias",
        "CONV 2 pad=same s=2",
        "RELU",
        "TANH",
        "LEAKYRELU 0.3",
        "POOL?",
        "POOL 3 s=2 p=1 ceil?",
        "AVGPOOL 1x2?",
        "MINPOOL 2 d=2?",
        "BN",
        "DROPOUT 0.25",
        "ADAPTIVEPOOL 3x4",
        "FLATTEN -> BN -> TANH",
        "GLOBALPOOL",
    ]
)


@settings(max_examples=60)
@given(
    st.lists(steps, max_size=7), st.lists(st.sampled_from(["FC 2", "RELU", "BN", "DROPOUT"]), max_size=5), st.booleans()
)
def test_there_and_back_with_the_sizes_that_the_layers_give(maps: list, vectors: list, pooled: bool) -> None:
    flat = [i for i, step in enumerate(maps) if "FLATTEN" in step]
    parts = maps[: flat[0] + 1] if flat else maps + ["GLOBALMAXPOOL"] * pooled + ["FC 3"]
    net = models.from_pattern(" -> ".join(["INPUT 2x13x12", *parts, *vectors]))
    y = net.eval()(mg.zeros((2, 2, 13, 12)))
    assert y.shape == (2, *y.shape[1:])
    text = models.to_pattern(net, (2, 13, 12))
    assert repr(models.from_pattern(text)) == repr(net)
    assert models.to_pattern(models.from_pattern(text), (2, 13, 12)) == text


def test_lenet5() -> None:
    net = models.lenet5()
    text = models.to_pattern(net)
    again = models.from_pattern(text)
    assert list(map(repr, leaves(again))) == list(map(repr, leaves(net)))
    again.load_state_dict(net.state_dict())
    x = mg.randn(2, 1, 28, 28)
    np.testing.assert_array_equal(again(x).detach().numpy(), net(x).detach().numpy())
    assert models.to_pattern(net, (1, 29, 29)) == text.replace("28x28", "29x29")


class Nested(nn.Module):
    """In the style of VGG: Sequentials in a module, whose forward flattens."""

    def __init__(self):
        pool = nn.MaxPool2d(2)
        block = nn.Sequential(nn.Conv2d(2, 2, 3, padding=1), nn.BatchNorm2d(2), nn.ReLU(inplace=True))
        self.classifier = nn.Sequential(nn.Dropout(), nn.Linear(2 * 2 * 2, 4), nn.ReLU(), nn.Linear(4, 3))
        self.blocks = [block, nn.Sequential(nn.Identity(), pool), nn.Conv2d(2, 2, 3, padding=1)]
        self.pool = nn.AdaptiveAvgPool2d((2, 2))

    def forward(self, x: mg.Tensor) -> mg.Tensor:
        for block in self.blocks:
            x = block(x)
        return self.classifier(self.pool(x).flatten(1))


NESTED = (
    "INPUT 2x6x6 -> CONV 2 -> BN -> RELU -> POOL -> CONV 2 -> ADAPTIVEAVGPOOL 2x2 -> FLATTEN -> DROPOUT 0.5"
    " -> FC 4 -> RELU -> FC 3"
).replace("DROPOUT 0.5", "DROPOUT")


def test_modules_in_modules_in_the_order_in_which_they_run() -> None:
    mg.manual_seed(5)
    expected = mg.rand(3).tolist()
    net = Nested()
    net.blocks[0].eval()
    before = {name: value.tolist() for name, value in net.state_dict().items()}
    modes = [module.training for module in net.modules()]
    mg.manual_seed(5)
    assert models.to_pattern(net, (2, 6, 6)) == NESTED
    assert mg.rand(3).tolist() == expected
    assert [module.training for module in net.modules()] == modes
    assert {name: value.tolist() for name, value in net.state_dict().items()} == before
    assert models.to_pattern(net.to("float64"), (2, 6, 6)) == NESTED


def test_on_the_device() -> None:
    with fake_cupy.install():
        assert models.to_pattern(Nested().to("cuda"), (2, 6, 6)) == NESTED
        assert models.to_pattern(models.lenet5().to("cuda")) == models.to_pattern(models.lenet5())


GUESSES = {  # the smallest square that the layers take
    "INPUT 3 -> FC 2": "INPUT 3 -> FC 2",
    "INPUT 1x32x32 -> CONV 2 5x5 pad=0 -> POOL -> FC 2": "INPUT 1x32x32 -> CONV 2 5x5 pad=0 -> POOL -> FC 2",
    "INPUT 1x33x33 -> CONV 2 5x5 pad=0 -> POOL -> FC 2": "INPUT 1x32x32 -> CONV 2 5x5 pad=0 -> POOL -> FC 2",
    "INPUT 1x9 -> CONV 2 -> FC 2": "INPUT 1x9 -> CONV 2 -> FC 2",
    "INPUT 1x7x7x7 -> CONV 2 -> POOL -> FC 2": "INPUT 1x6x6x6 -> CONV 2 -> POOL -> FC 2",
    "INPUT 1x9x9 -> CONV 2 -> [POOL]*3 -> GLOBALMAXPOOL": "INPUT 1x8x8 -> CONV 2 -> [POOL]*3 -> GLOBALMAXPOOL",
    "INPUT 3x9x9 -> CONV 2 5x5 pad=0": "INPUT 3x5x5 -> CONV 2 5x5 pad=0",
}


@pytest.mark.parametrize("text", GUESSES)
def test_the_shape_of_the_input_is_guessed(text: str) -> None:
    assert models.to_pattern(models.from_pattern(text)) == GUESSES[text]


class Twice(nn.Module):
    """One layer, used twice."""

    def __init__(self):
        self.layer, self.act = nn.Linear(3, 3), nn.Tanh()

    def forward(self, x: mg.Tensor) -> mg.Tensor:
        return self.act(self.layer(self.act(self.layer(x))))


class Fused(nn.Module):
    """A batch norm with its activation in the same pass."""

    def __init__(self):
        self.conv, self.bn = nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2)

    def forward(self, x: mg.Tensor) -> mg.Tensor:
        return self.bn(self.conv(x), activation="relu")


class Functional(nn.Module):
    """An activation that is no module, between two that are."""

    def __init__(self):
        self.first, self.second = nn.Linear(3, 3), nn.Linear(3, 3)

    def forward(self, x: mg.Tensor) -> mg.Tensor:
        return self.second(mg.relu(self.first(x)))


class Mixed(nn.Module):
    """Flattens in another order."""

    def __init__(self):
        self.conv, self.fc = nn.Conv2d(1, 2, 3), nn.Linear(18, 2)

    def forward(self, x: mg.Tensor) -> mg.Tensor:
        return self.fc(self.conv(x).transpose((0, 2, 3, 1)).reshape(len(x), -1))


def conv(kernel_size=3, **options) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(1, 4, kernel_size, **options))


def after_conv(*layers: nn.Module) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(1, 2, 3), *layers)


ORDER = "in it does not get the output of the layer before"

HOMELESS = [  # the first module without a place, and why
    (after_conv(nn.LocalResponseNorm(5)), "1 (LocalResponseNorm)", "there is no word for it"),
    (nn.Sequential(nn.Dropout2d(), nn.Conv2d(1, 2, 3)), "0 (Dropout2d)", "there is no word for it"),
    (after_conv(nn.Residual(nn.Conv2d(2, 2, 1))), "1 (Residual)", "it does not end with the output of its last layer"),
    (after_conv(nn.Concat(nn.Conv2d(2, 2, 1), nn.Conv2d(2, 2, 1))), "1 (Concat)", f"1.1 (Conv2d) {ORDER}"),
    (conv(padding_mode="reflect"), "0 (Conv2d)", "there is no word for padding_mode=reflect"),
    (conv(padding=((0, 1), (0, 1))), "0 (Conv2d)", "there is no word for padding=((0, 1), (0, 1))"),
    (conv((1, 3), padding=((0, 1), (0, 1))), "0 (Conv2d)", "there is no word for padding=((0, 1), (0, 1))"),
    (
        after_conv(nn.AvgPool2d(2, count_include_pad=False)),
        "1 (AvgPool2d)",
        "there is no word for count_include_pad=False",
    ),
    (after_conv(nn.BatchNorm2d(2, affine=False)), "1 (BatchNorm2d)", "there is no word for affine=False"),
    (after_conv(nn.Flatten(2)), "1 (Flatten)", "there is no word for start_dim=2"),
    (nn.Sequential(nn.Linear(3, 2), nn.LeakyReLU(-1.0)), "1 (LeakyReLU)", "there is no word for LEAKYRELU -1.0"),
    (nn.Sequential(nn.Linear(3, 2), nn.Softmax(0)), "1 (Softmax)", "there is no word for dim=0"),
    (after_conv(nn.Linear(8, 2)), "1 (Linear)", "FC expects a vector, got 2x8x8"),
    (Twice(), "layer (Linear)", "it is used twice, and layers of a pattern do not share parameters"),
    (Fused(), "bn (BatchNorm2d)", "it does more in one pass than normalise"),
    (Functional(), "the model (Functional)", f"second (Linear) {ORDER}"),
    (Mixed(), "the model (Mixed)", f"fc (Linear) {ORDER}"),
]


@pytest.mark.parametrize(("model", "who", "why"), HOMELESS)
def test_the_first_module_without_a_place_is_named(model: nn.Module, who: str, why: str) -> None:
    vector = isinstance(next(m for m in leaves(model) if next(m.parameters(), None) is not None), nn.Linear)
    sides = 5 if isinstance(model, Mixed) else 10
    modes = [module.training for module in model.modules()]
    with pytest.raises(ValueError, match="has no place") as caught:
        models.to_pattern(model, (3,) if vector else (1, sides, sides))
    assert str(caught.value) == f"{who} has no place in a pattern: {why}"
    assert [module.training for module in model.modules()] == modes
    out = model.eval()(mg.zeros((1, 3) if vector else (1, 1, sides, sides)))  # the hooks are gone
    assert math.prod(out.shape)


def test_without_a_shape_to_begin_with() -> None:
    with pytest.raises(
        ValueError, match=r"cannot tell the shape of the input from the layers: pass input_shape=\(3, 32, 32\)"
    ):
        models.to_pattern(nn.Sequential(nn.ReLU()))
    with pytest.raises(ValueError, match=r"cannot tell the shape"):
        models.to_pattern(nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(2 * 4 * 5, 2)))  # no square
    with pytest.raises(ValueError, match=r"1 \(LocalResponseNorm\) has no place in a pattern: there is no word for it"):
        models.to_pattern(nn.Sequential(nn.AvgPool2d(2), nn.LocalResponseNorm(3), nn.Linear(4, 2)))
    with pytest.raises(ValueError, match=r"0\.weight has no size yet: run a batch through the model first"):
        models.to_pattern(nn.Sequential(nn.Linear(None, 3)))
    with pytest.raises(ValueError, match=r"input_shape must be an integer of at least 1"):
        models.to_pattern(nn.Linear(3, 2), (0,))
    assert models.to_pattern(nn.Linear(3, 2)) == "INPUT 3 -> FC 2"
    assert models.to_pattern(nn.Sequential(), (3, 8)) == "INPUT 3x8"
