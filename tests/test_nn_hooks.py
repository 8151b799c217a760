"""Hooks around the forward of a module, and where the gradients come back."""

import copy
import pickle

import pytest

import minigrad as mg
from minigrad import nn


class Pair(nn.Module):
    def forward(self, x, y, scale=1.0):
        return x * y, scale * x


class Watch(nn.Module):
    def forward(self, module, args, out):
        return None


class Seen:
    """A hook that keeps what it is given, and returns what it was told to."""

    def __init__(self, answer=None):
        self.calls, self.answer = [], answer

    def __call__(self, module, *values):
        self.calls.append((module, *values))
        return self.answer


def test_forward_hooks_see_the_call_and_may_replace_what_comes_in_and_out():
    layer = nn.Linear(2, 1)
    nn.init.ones_(layer.weight)
    nn.init.zeros_(layer.bias)
    before, after = Seen(mg.ones((1, 2)) * 3), Seen()
    layer.register_forward_pre_hook(before)
    handle = layer.register_forward_hook(after)
    assert layer(mg.zeros((1, 2))).item() == 6
    assert before.calls[0][0] is layer
    assert before.calls[0][1][0].tolist() == [[0, 0]]
    _, args, out = after.calls[0]
    assert args[0].tolist() == [[3, 3]]
    assert out.item() == 6
    handle.remove()
    with layer.register_forward_hook(Seen(mg.tensor(7.0))):
        assert layer(mg.zeros((1, 2))).item() == 7
    assert layer(mg.zeros((1, 2))).item() == 6
    assert len(after.calls) == 1


def test_hooks_run_in_the_order_of_their_registration_and_may_be_modules():
    net = nn.Tanh()
    order = []
    for i in range(3):
        net.register_forward_hook(lambda module, args, out, i=i: order.append(i))
    net.register_forward_hook(Watch())
    net(mg.zeros(1))
    assert order == [0, 1, 2]
    assert list(net.children()) == []


def test_an_error_of_a_hook_says_where_it_happened():
    net = nn.Sequential(nn.Tanh(), nn.Tanh())

    def fail(module, args):
        raise ValueError("no")

    net[1].register_forward_pre_hook(fail)
    with pytest.raises(ValueError, match="no") as caught:
        net(mg.zeros((2, 3)))
    assert caught.value.__notes__[0] == "in 1: Tanh(), input (2, 3)"


def test_backward_hooks_see_the_gradients_of_this_call_alone():
    layer, seen, entered = nn.Tanh(), Seen(), Seen()
    layer.register_full_backward_hook(seen)
    layer.register_full_backward_pre_hook(entered)
    x = mg.tensor([0.0, 1.0], requires_grad=True)
    (layer(x) * mg.tensor([2.0, 3.0]) + 5 * x).sum().backward()  # 5x does not pass through the layer
    ((module, (grad_input,), (grad_output,)),) = seen.calls
    assert module is layer
    assert grad_output.tolist() == [2, 3]
    slope = (1 - mg.tanh(x.detach()) ** 2).tolist()
    assert grad_input.tolist() == pytest.approx([2 * slope[0], 3 * slope[1]])
    assert x.grad.tolist() == pytest.approx([2 * slope[0] + 5, 3 * slope[1] + 5])
    assert entered.calls[0][1][0].tolist() == [2, 3]


def test_backward_hooks_may_replace_gradients():
    layer = nn.Sequential()
    x = mg.tensor([1.0, 2.0], requires_grad=True)
    with layer.register_full_backward_hook(lambda m, gi, go: (gi[0] * 10,)):
        layer(x).sum().backward()
    assert x.grad.tolist() == [10, 10]
    x.grad = None
    with layer.register_full_backward_pre_hook(lambda m, go: go[0] * 3):
        layer(x).sum().backward()
    assert x.grad.tolist() == [3, 3]


def test_several_arguments_and_outputs():
    pair, seen = Pair(), Seen()
    pair.register_full_backward_hook(seen)
    x, y = (mg.tensor([v], requires_grad=True) for v in (2.0, 5.0))
    for _ in range(2):
        a, b = pair(x, y, scale=4.0)
        (a + 7 * b).sum().backward()
    for _, (gx, gy), (ga, gb) in seen.calls:
        assert (gx.item(), gy.item(), ga.item(), gb.item()) == (5 + 7 * 4, 2, 1, 7)
    assert len(seen.calls) == 2
    x.grad = y.grad = None
    with pair.register_full_backward_hook(lambda m, gi, go: (gi[1], gi[0] * 10)):
        a, b = pair(x, y, scale=4.0)
        (a + 7 * b).sum().backward()
    assert (x.grad.item(), y.grad.item()) == (2, 330)
    pair.register_full_backward_hook(lambda m, gi, go: gi[0])
    with pytest.raises(ValueError, match="a backward hook got 2 gradients and returned 1: return as many, or None"):
        pair(x, y)[0].sum().backward()


def test_an_output_that_nothing_used_has_a_gradient_of_zeros():
    pair, seen = Pair(), Seen()
    pair.register_full_backward_hook(seen)
    x = mg.tensor([2.0], requires_grad=True)
    with pair.register_full_backward_pre_hook(lambda m, go: (go[1], go[0] * 10)):
        pair(x, mg.tensor([5.0]), scale=4.0)[0].sum().backward()
    ((_, (gx, gy), (ga, gb)),) = seen.calls  # once, though there are two outputs
    assert (gx.item(), gy, ga.item(), gb.item()) == (40, None, 0, 10)


def test_a_first_layer_whose_input_needs_no_gradient_is_called_too():
    layer, seen = nn.Linear(2, 1), Seen()
    layer.register_full_backward_hook(seen)
    loss = layer(mg.ones((1, 2))).sum()
    loss.backward(retain_graph=True)
    loss.backward()
    assert [(gi, go[0].tolist()) for _, gi, go in seen.calls] == [((None,), [[1]])] * 2


def test_a_graph_that_is_gone_through_twice_calls_the_hook_twice():
    layer, seen = nn.Tanh(), Seen()
    layer.register_full_backward_hook(seen)
    x = mg.tensor([0.5], requires_grad=True)
    (dx,) = mg.grad(layer(x).sum(), x, create_graph=True)
    dx.sum().backward()
    t = mg.tanh(x.detach()).item()
    assert x.grad.item() == pytest.approx(-2 * t * (1 - t * t))
    assert len(seen.calls) >= 1
    assert seen.calls[0][1][0].requires_grad


def test_under_no_grad_only_the_forward_hooks_run():
    layer, seen, after = nn.Tanh(), Seen(), Seen()
    layer.register_full_backward_hook(seen)
    layer.register_forward_hook(after)
    with mg.no_grad():
        assert not layer(mg.tensor([0.5], requires_grad=True)).requires_grad
    assert (len(seen.calls), len(after.calls)) == (0, 1)


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_a_module_with_hooks_can_be_copied(duplicate):
    net = nn.Sequential(nn.Linear(2, 1))
    net[0].register_forward_hook(print_shape)
    with pytest.raises(ZeroDivisionError):
        duplicate(net)(mg.zeros((1, 2)))


def print_shape(module, args, out):
    raise ZeroDivisionError
