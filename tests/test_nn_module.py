"""Module and Parameter: walking, state, modes, calling, and how they look."""

import copy
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn


class Net(nn.Module):
    """Parameters and modules in every kind of place."""

    def __init__(self):
        self.head = nn.Linear(2, 2, bias=False)
        self.scale = nn.Parameter([1.0])
        self._hidden = nn.Parameter([2.0], requires_grad=False)
        self.blocks = [nn.Linear(2, 2, bias=False), (nn.Tanh(), nn.Parameter([3.0]))]
        self.named = {"a": nn.Linear(2, 1, bias=False), "b": {"c": nn.Parameter([4.0])}}
        self.other = mg.zeros(3)

    def forward(self, x):
        return self.head(x) * self.scale


NAMES = ["scale", "_hidden", "blocks.1.1", "named.b.c", "head.weight", "blocks.0.weight", "named.a.weight"]


def test_parameters_are_found_in_attributes_lists_tuples_and_dicts():
    net = Net()
    assert [name for name, _ in net.named_parameters()] == NAMES
    assert list(net.state_dict()) == NAMES
    assert [name for name, _ in net.named_parameters("net")] == ["net." + name for name in NAMES]
    assert [name for name, _ in net.named_children()] == ["head", "blocks.0", "blocks.1.0", "named.a"]
    assert [name for name, _ in net.named_modules()] == ["", "head", "blocks.0", "blocks.1.0", "named.a"]
    assert list(net.modules()) == [net, *net.children()]


def test_a_shared_parameter_is_yielded_once_and_saved_under_both_names():
    net = nn.Sequential(nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False))
    net[1].weight = net[0].weight
    assert len(list(net.parameters())) == 1
    assert list(net.state_dict()) == ["0.weight", "1.weight"]
    layer = nn.Linear(2, 2, bias=False)
    twice = nn.Sequential(layer, nn.Tanh(), layer)
    assert [name for name, _ in twice.named_modules()] == ["", "0", "1"]
    assert list(twice.state_dict()) == ["0.weight", "2.weight"]
    twice.load_state_dict(twice.state_dict())


def test_a_cycle_of_modules_ends():
    parent, child = nn.Sequential(nn.Linear(2, 2, bias=False)), nn.Tanh()
    child.parent = parent
    parent.append(child)
    assert list(parent.state_dict()) == ["0.weight"]
    assert "..." in repr(parent)


def test_two_parameters_of_one_name_are_refused():
    net = nn.Module()
    net.both = {0: nn.Parameter([1.0]), "0": nn.Parameter([2.0])}
    with pytest.raises(ValueError, match=r"two parameters of Module have the name 'both.0': rename one"):
        net.state_dict()


def test_parameter():
    source = np.ones(2, np.float32)
    w = nn.Parameter(source)
    source[0] = 5
    assert w.requires_grad
    assert w.tolist() == [1, 1]
    assert type(w * 2) is type(w.detach()) is mg.Tensor
    assert not nn.Parameter([1.0], requires_grad=False).requires_grad
    assert repr(w) == "Parameter containing:\ntensor([1., 1.], requires_grad=True)"
    with pytest.raises(TypeError, match="only floating tensors can require a gradient"):
        nn.Parameter([1, 2])


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_a_copied_module_learns_on_its_own(duplicate):
    net = nn.Linear(2, 1)
    net(mg.ones((1, 2))).sum().backward()
    other = duplicate(net)
    assert other.weight.grad is None
    other(mg.ones((1, 2))).sum().backward()
    assert other.weight.grad.tolist() == [[1, 1]]
    assert net.weight.grad.tolist() == [[1, 1]]
    assert isinstance(other.weight, nn.Parameter)
    assert other.weight.tolist() == net.weight.tolist()


# ---- state ----------------------------------------------------------------------------------------------------------


def test_state_dict_is_a_snapshot():
    layer = nn.Linear(2, 1)
    before = layer.state_dict()
    kept = before["weight"].tolist()
    nn.init.zeros_(layer.weight)
    assert before["weight"].tolist() == kept
    assert not before["weight"].requires_grad
    layer.load_state_dict(before)
    assert layer.weight.tolist() == kept


def test_loading_lists_all_that_does_not_fit_and_changes_nothing():
    net = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
    before = {name: p.tolist() for name, p in net.named_parameters()}
    state = {"0.weight": np.ones((3, 2)), "1.weight": np.ones((3, 1)), "1.bias": [0.0], "2.scale": np.ones(4)}
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the whole text is compared
        net.load_state_dict(state)
    assert str(caught.value) == (
        "the state does not fit Sequential; nothing was loaded:\n"
        "  missing: 0.bias (3,)\n"
        "  unexpected: 2.scale (4,)\n"
        "  wrong shape: 1.weight is (1, 3), the state has (3, 1)"
    )
    assert {name: p.tolist() for name, p in net.named_parameters()} == before


def test_loading_a_value_that_is_no_number_changes_nothing():
    layer = nn.Linear(1, 1)
    before = layer.weight.tolist()
    with pytest.raises(TypeError):
        layer.load_state_dict({"weight": [[7.0]], "bias": ["x"]})
    assert layer.weight.tolist() == before


def test_loading_keeps_the_parameters_and_their_dtype():
    layer = nn.Linear(2, 1)
    weight, node = layer.weight, layer.weight.node
    layer.load_state_dict({"weight": np.array([[1.0, 2.0]]), "bias": [3]})
    assert layer.weight is weight
    assert weight.node is node
    assert weight.dtype == np.float32
    assert weight.tolist() == [[1, 2]]


def test_loading_after_forward_makes_the_old_graph_say_so():
    net = nn.Sequential(nn.Linear(2, 2), nn.Tanh(), nn.Linear(2, 1))
    y = net(mg.ones((1, 2))).sum()
    net.load_state_dict(net.state_dict())
    with pytest.raises(RuntimeError, match="was changed in place"):
        y.backward()


# ---- modes, gradients, dtypes ---------------------------------------------------------------------------------------


def test_train_and_eval_reach_every_module():
    net = Net()
    assert net.training
    assert net.eval() is net
    assert not any(module.training for module in net.modules())
    assert all(module.training for module in net.train().modules())
    assert nn.Tanh().training


def test_zero_grad_and_requires_grad():
    layer = nn.Linear(2, 1)
    layer(mg.ones((1, 2))).sum().backward()
    assert layer.bias.grad.tolist() == [1]
    layer.zero_grad()
    assert layer.bias.grad is layer.weight.grad is None
    assert not any(p.requires_grad for p in layer.requires_grad_(False).parameters())
    assert all(p.requires_grad for p in layer.requires_grad_().parameters())


def test_to_another_dtype_keeps_the_parameters():
    layer = nn.Linear(2, 1)
    weight = layer.weight
    layer(mg.ones((1, 2))).sum().backward()
    layer.bias.requires_grad_(False)
    assert layer.to(np.float64) is layer
    assert layer.weight is weight
    assert weight.dtype == weight.grad.dtype == np.float64
    assert not layer.bias.requires_grad
    layer.zero_grad()
    layer(mg.ones((1, 2), dtype=np.float64)).sum().backward()
    assert weight.grad.dtype == np.float64
    node = weight.node
    layer.to("float64").to("cpu")
    assert weight.node is node


def test_to_after_forward_makes_the_old_graph_say_so():
    layer = nn.Linear(2, 1)
    x = mg.ones((1, 2), requires_grad=True)
    y = layer(x).sum()
    layer.to(np.float64)
    with pytest.raises(RuntimeError, match="was changed in place"):
        y.backward()


def test_to_refuses_what_it_cannot_do():
    layer = nn.Linear(2, 1)
    with pytest.raises(TypeError, match="a module can be converted to a floating dtype only, got int32"):
        layer.to("int32")
    assert layer.weight.dtype == np.float32
    if (reason := mg.why_no_gpu()) is not None:
        with pytest.raises(RuntimeError) as caught:
            layer.to("cuda")
        assert reason in str(caught.value)


def test_apply_visits_children_first():
    seen = []
    net = Net()
    assert net.apply(seen.append) is net
    assert seen == [*net.children(), net]


# ---- calling --------------------------------------------------------------------------------------------------------


def test_call_wraps_arrays():
    class Kinds(nn.Module):
        def forward(self, x, y, other=None, text=""):
            return type(x), type(y), type(other), type(text)

    assert Kinds()(np.zeros(2), 3.0, other=np.zeros(1)) == (mg.Tensor, float, mg.Tensor, str)


def test_numeric_warnings_are_off_inside_and_on_again_outside():
    class Log(nn.Module):
        def forward(self, x):
            return mg.log(x)

    assert Log()(mg.zeros(1)).tolist() == [-np.inf]
    with pytest.warns(RuntimeWarning, match="divide by zero"):
        mg.log(mg.zeros(1))


def notes(module, *args):
    with pytest.raises(Exception) as caught:  # noqa: PT011 - its kind is not what is tested
        module(*args)
    return [note for note in caught.value.__notes__ if note.startswith("in ")]


def test_an_error_says_in_which_layer():
    class Outer(nn.Module):
        def __init__(self):
            self.features = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Tanh(), nn.Sequential(nn.Conv2d(3, 4, 1)))
            self.parts = [nn.Linear(5, 1)]

        def forward(self, x):
            return self.parts[0](x) if x.ndim == 2 else self.features(x)

    net = Outer()
    assert notes(net, np.zeros((8, 1, 9, 9), np.float32)) == [
        "in features.2.0: Conv2d(3, 4, kernel_size=(1, 1), stride=(1, 1)), input (8, 2, 7, 7)"
    ]
    assert notes(net, mg.zeros((2, 3))) == [
        "in parts.0: Linear(in_features=5, out_features=1, bias=True), input (2, 3)"
    ]
    assert notes(net.features[2], mg.zeros((2, 3))) == [
        "in 0: Conv2d(3, 4, kernel_size=(1, 1), stride=(1, 1)), input (2, 3)"
    ]
    assert notes(net.parts[0], mg.zeros(())) == ["in Linear(in_features=5, out_features=1, bias=True), input ()"]


def test_an_error_in_a_forward_names_the_class_and_all_its_inputs():
    class Sum(nn.Module):
        def __init__(self):
            self.inner = nn.Tanh()

        def forward(self, x, y):
            return self.inner(x) + y

    class Strange(nn.Module):
        def __init__(self):
            self.call = lambda x: Sum()(x, x[:1, :2])

        def forward(self, x):
            return self.call(x)

    assert notes(Sum(), mg.zeros(2), np.zeros(3)) == ["in Sum, input (2,), (3,)"]
    assert notes(Strange(), mg.zeros((3, 3))) == ["in Sum, input (3, 3), (1, 2)"]  # no path leads there


def test_after_an_error_the_next_call_starts_anew():
    layer = nn.Linear(2, 1)
    for _ in range(2):
        assert len(notes(layer, mg.zeros((1, 3)))) == 1
    assert layer(mg.zeros((1, 2))).shape == (1, 1)


def test_an_error_that_a_module_handles_does_not_hide_the_next():
    class Careful(nn.Module):
        def __init__(self):
            self.first, self.second = nn.Linear(2, 1), nn.Linear(3, 1)

        def forward(self, x):
            try:
                return self.first(x)
            except ValueError:
                return self.second(x)

    assert Careful()(mg.zeros((1, 3))).shape == (1, 1)
    assert notes(Careful(), mg.zeros((1, 4)))[0].startswith("in second: Linear(in_features=3")


def test_a_module_without_forward():
    class Empty(nn.Module):
        pass

    with pytest.raises(TypeError, match=r"Empty has no forward: define forward\(self, x\) in the class; calling"):
        Empty()(mg.zeros(1))
    with pytest.raises(TypeError, match="ModuleList has no forward"):
        nn.ModuleList()(mg.zeros(1))


# ---- as text --------------------------------------------------------------------------------------------------------


def test_repr():
    class Block(nn.Module):
        def __init__(self):
            self.path = [nn.Linear(1, 2), nn.Sequential(nn.Tanh(), nn.ReLU())]

        def extra_repr(self):
            return "kind=small"

    assert repr(Block()) == (
        "Block(\n"
        "  kind=small\n"
        "  (path.0): Linear(in_features=1, out_features=2, bias=True)\n"
        "  (path.1): Sequential(\n"
        "    (0): Tanh()\n"
        "    (1): ReLU()\n"
        "  )\n"
        ")"
    )
    assert repr(nn.Sequential()) == "Sequential()"


@pytest.mark.parametrize("name", ["nn", "models"])
def test_importing_from_the_repository_root_is_refused(name):
    root = Path(__file__).parent.parent
    done = subprocess.run([sys.executable, "-c", f"import {name}"], cwd=root, capture_output=True, text=True)
    assert done.returncode == 1
    assert f"ImportError: this folder is the package minigrad.{name}" in done.stderr
    assert f"use `from minigrad import {name}`" in done.stderr


# ---- buffers --------------------------------------------------------------------------------------------------------


class Counter(nn.Module):
    def __init__(self):
        self.total = nn.Buffer([0.0, 0.0])
        self.factor = nn.Parameter([1.0])
        self.calls = nn.Buffer(0)
        self.register_buffer("cache", [5.0], persistent=False)
        self.inner = nn.Linear(1, 1, bias=False)

    def forward(self, x):
        self.calls += 1
        return x * self.factor


def test_buffers_are_found_saved_after_the_parameters_and_not_learned():
    net = Counter()
    assert [name for name, _ in net.named_buffers()] == ["total", "calls", "cache"]
    assert list(net.buffers())[1] is net.calls
    assert [name for name, _ in net.named_parameters()] == ["factor", "inner.weight"]
    assert list(net.state_dict()) == ["factor", "total", "calls", "inner.weight"]
    assert not any(b.requires_grad for b in net.buffers())
    net(mg.ones(1))
    state = net.state_dict()
    assert state["calls"].item() == 1
    other = Counter()
    other.load_state_dict(state)
    assert other.calls.item() == 1
    assert other.calls.dtype == np.int64
    assert repr(other.total) == "Buffer containing:\ntensor([0., 0.])"


def test_buffers_move_and_only_floating_ones_are_converted():
    net = Counter().to(np.float64)
    assert net.total.dtype == net.cache.dtype == np.float64
    assert net.calls.dtype == np.int64


def test_what_is_assigned_over_a_buffer_stays_a_buffer():
    net = Counter()
    net.total = net.total * 2 + 1
    net.cache = mg.ones(3)
    assert isinstance(net.total, nn.Buffer)
    assert net.state_dict()["total"].tolist() == [1, 1]
    assert "cache" not in net.state_dict()
    net.total = None
    assert "total" not in net.state_dict()


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_a_copied_buffer_keeps_its_kind(duplicate):
    net = duplicate(Counter())
    assert not net.cache.persistent
    assert list(net.state_dict()) == ["factor", "total", "calls", "inner.weight"]


def test_a_plain_tensor_over_a_parameter_is_refused():
    layer = nn.Linear(2, 1)
    for value in (mg.ones((1, 2)), np.ones((1, 2))):
        with pytest.raises(TypeError, match=r"Linear.weight is a Parameter, and a plain \w+ in its place would not be"):
            layer.weight = value
    layer.weight = nn.Parameter(mg.ones((1, 2)))
    layer.bias = None
    assert list(layer.state_dict()) == ["weight"]


def test_a_module_gives_way_to_modules_only():
    net = Net()
    with pytest.raises(TypeError, match=r"Net.head is a Linear, and a int in its place would take its parameters away"):
        net.head = 3
    net.head = nn.Tanh()
    net.head = None
    assert "head.weight" not in net.state_dict()


def test_loading_that_is_not_strict():
    layer = nn.Linear(2, 1)
    bias = layer.bias.tolist()
    assert layer.load_state_dict({"weight": [[1.0, 2.0]], "more": [1.0]}, strict=False) == (["bias"], ["more"])
    assert layer.weight.tolist() == [[1, 2]]
    assert layer.bias.tolist() == bias
    with pytest.raises(ValueError, match=r"wrong shape: weight is \(1, 2\), the state has \(1, 3\)"):
        layer.load_state_dict({"weight": [[1.0, 2.0, 3.0]]}, strict=False)


def test_live_tensors_can_be_exchanged():
    net = nn.Sequential(nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False))
    first, second = net[0].weight.tolist(), net[1].weight.tolist()
    net.load_state_dict({"0.weight": net[1].weight, "1.weight": net[0].weight})
    assert (net[0].weight.tolist(), net[1].weight.tolist()) == (second, first)


def test_get_submodule():
    net = nn.Sequential(nn.Sequential(nn.Tanh(), nn.ReLU()))
    assert net.get_submodule("0.1") is net[0][1]
    assert net.get_submodule("") is net
    with pytest.raises(AttributeError, match=r"Sequential has no module '0.7.weight': '0' has \['0', '1'\]"):
        net.get_submodule("0.7.weight")


# ---- sizes that come from the first batch ---------------------------------------------------------------------------


def lazy():
    return nn.Sequential(nn.Conv2d(None, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(None, 2))


def test_sizes_come_from_the_first_batch():
    mg.manual_seed(3)
    net = lazy()
    optimizer = nn.optim.SGD(net.parameters(), lr=0.1)  # holds the parameters before they have a size
    weight = net[3].weight
    assert repr(net[3]) == "Linear(in_features=None, out_features=2, bias=True)"
    assert repr(weight) == "UninitializedParameter()"
    assert net(mg.ones((2, 3, 5, 5))).shape == (2, 2)
    assert weight is net[3].weight
    assert type(weight) is nn.Parameter
    assert (net[0].in_channels, net[0].weight.shape, weight.shape) == (3, (4, 3, 3, 3), (2, 36))
    assert weight.requires_grad
    bound = 1 / 6
    assert 0 < abs(weight.numpy()).max() <= bound
    assert 0 < abs(net[3].bias.numpy()).max() <= bound
    before = weight.tolist()
    net(mg.ones((2, 3, 5, 5))).sum().backward()
    optimizer.step()
    assert weight.tolist() != before
    with pytest.raises(ValueError, match="Conv2d expects 3 channels, got 4"):
        net(mg.ones((2, 4, 5, 5)))


def test_the_memory_order_and_dtype_of_a_lazy_layer_are_those_of_any_other():
    net = nn.Conv2d(None, 4, 3).to(np.float64)
    net(mg.ones((1, 3, 5, 5), dtype=np.float64))
    other = nn.Conv2d(3, 4, 3).to(np.float64)
    assert net.weight.dtype == np.float64
    assert net.weight._array.strides == other.weight._array.strides


def test_without_a_size_there_is_no_state():
    with pytest.raises(ValueError, match=r"0.weight, 3.weight of Sequential has no size yet: run a batch through"):
        lazy().state_dict()
    net = nn.Linear(None, 2)
    with pytest.raises(ValueError, match=r"without a size: weight has no size yet"):
        net.load_state_dict({"weight": np.ones((2, 3)), "bias": np.ones(2)})
    copied = pickle.loads(pickle.dumps(copy.deepcopy(net)))
    assert copied(mg.ones((1, 3))).shape == (1, 2)
    with pytest.raises(ValueError, match="groups must divide in_channels, got groups=2 and in_channels=3"):
        nn.Conv2d(None, 4, 3, groups=2)(mg.ones((1, 3, 5, 5)))
