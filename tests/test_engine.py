"""Recording and going back: what the engine promises, one promise a test."""

from __future__ import annotations

import gc
import threading
import weakref

import numpy as np
import pytest

import minigrad as mg
from minigrad import engine


def leaf(*values: float, dtype: str = "float64") -> mg.Tensor:
    return mg.tensor(np.array(values, dtype), requires_grad=True)


# ---- backward and grad ----------------------------------------------------------------------------------------------


def test_backward_accumulates_in_grad() -> None:
    x = leaf(1.0, 2.0)
    (x * x).sum().backward()
    first = x.grad
    (x * 3).sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), [5, 7])
    np.testing.assert_array_equal(first.numpy(), [2, 4])  # the gradient that somebody holds is not changed


def test_a_tensor_used_twice_gets_both_gradients() -> None:
    x = leaf(3.0)
    y = x * x + x
    (y * y + y).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), [(2 * 12 + 1) * 7])


def test_many_uses_accumulate_in_place_without_touching_shared_arrays() -> None:
    x, w = leaf(1.0), leaf(1.0)
    h = x + w
    total = h + h + h + h + w
    total.backward()
    assert (x.grad.item(), w.grad.item()) == (4, 5)


def test_gradients_do_not_alias_each_other_or_the_seed() -> None:
    a, b, seed = leaf(1.0, 2.0), leaf(3.0, 4.0), np.ones(2)
    (a + b).backward(seed)
    with mg.no_grad():
        a.grad[0] = 99
    assert b.grad.tolist() == [1, 1]
    assert seed.tolist() == [1, 1]
    ga, gb = mg.grad(a + b, [a, b], seed, create_graph=True)
    assert ga is not gb
    assert not np.shares_memory(ga.detach().numpy(), gb.detach().numpy())


def test_gradient_of_a_broadcast_sum_is_writable() -> None:
    x = leaf(1.0, 2.0)
    x.sum().backward()
    x.grad *= 2
    assert x.grad.tolist() == [2, 2]


def test_intermediate_gradients_are_not_kept_unless_asked() -> None:
    x = leaf(2.0)
    y, z = x * 3, x * 5
    z.retain_grad()
    (y * z).sum().backward()
    assert y.grad is None
    assert z.grad.tolist() == [6]
    assert x.grad.tolist() == [60]


def test_retain_grad_does_not_keep_the_tensor_alive() -> None:
    x = leaf(2.0)
    y = x * 3
    y.retain_grad()
    dead = weakref.ref(y)
    z = y * y
    del y
    z.backward(np.ones(1))
    assert dead() is not None or x.grad.tolist() == [36]


def test_seeds_for_non_scalars() -> None:
    x = leaf(1.0, 2.0, 3.0)
    (x * x).backward([1.0, 0.0, 10.0])
    assert x.grad.tolist() == [2, 0, 60]


def test_grad_returns_one_gradient_for_each_input_and_touches_no_grad() -> None:
    x, w = leaf(2.0), leaf(5.0)
    gx, gw = mg.grad(x * w, [x, w])
    assert (gx.item(), gw.item()) == (5, 2)
    assert x.grad is w.grad is None


def test_grad_of_several_outputs_sums_their_seeded_gradients() -> None:
    x = leaf(2.0, 3.0)
    (g,) = mg.grad([x * x, x.sum(), x.sum()], x, [np.array([1.0, 10.0]), None, 7.0])
    assert g.tolist() == [4 + 8, 60 + 8]


def test_grad_with_respect_to_an_intermediate_and_the_output_itself() -> None:
    x = leaf(2.0)
    y = x * 3
    z = y * y
    gz, gy, gx = mg.grad(z, [z, y, x])
    assert (gz.item(), gy.item(), gx.item()) == (1, 12, 36)


def test_grad_visits_only_what_leads_to_the_inputs() -> None:
    calls = []

    @mg.op
    def noted(x, tag):
        return x * 1.0

    noted.vjp(x=lambda g, tag: calls.append(tag) or g)
    a, b = leaf(1.0), leaf(2.0)
    mg.grad(noted(a, "a") * noted(b, "b"), a)
    assert calls == ["a"]


def test_unused_inputs() -> None:
    x, unused = leaf(1.0), leaf(1.0)
    with pytest.raises(RuntimeError, match=r"inputs\[1\], of shape \(1,\), was not used .* pass allow_unused=True"):
        mg.grad(x * 2, [x, unused])
    assert mg.grad(x * 2, [x, unused], allow_unused=True)[1] is None


def test_every_gradient_has_the_dtype_and_shape_of_its_input() -> None:
    half, single, double = (leaf(1.0, 2.0, dtype=d) for d in ("float16", "float32", "float64"))
    scalar = leaf(3.0).reshape(()).detach().requires_grad_()
    (half * single * double * scalar).sum().backward()
    for x in (half, single, double, scalar):
        assert x.grad.dtype == x.dtype
        assert x.grad.shape == x.shape


def test_python_scalars_do_not_promote() -> None:
    x = leaf(1.0, dtype="float32")
    for y in (x * 2.5, 2.5 * x, x + 1, 1 - x, x / 3, 3 / x, x**2, 2**x, mg.where(x > 0, x, 0.5), mg.maximum(x, 0.5)):
        assert y.dtype == np.float32


def test_numpy_scalars_and_arrays_promote_as_in_numpy() -> None:
    x = leaf(1.0, dtype="float32")
    assert (x * np.float64(2)).dtype == np.float64
    assert (np.ones(1) * x).dtype == np.float64
    assert isinstance(np.ones(1) * x, mg.Tensor)


# ---- higher orders --------------------------------------------------------------------------------------------------


def test_create_graph_gives_every_order() -> None:
    x = leaf(1.5)
    y, factor = x**5, 1.0
    for n in range(5, 0, -1):
        (y,) = mg.grad(y, x, np.ones(1), create_graph=True)
        factor *= n
        np.testing.assert_allclose(y.detach().numpy(), factor * 1.5 ** (n - 1))


def test_backward_with_create_graph() -> None:
    x = leaf(2.0)
    (x**3).backward(np.ones(1), create_graph=True)
    first, x.grad = x.grad, None
    first.backward(np.ones(1))
    assert x.grad.tolist() == [12]


def test_the_seed_is_differentiable_under_create_graph() -> None:
    x, u = leaf(2.0), leaf(7.0)
    (g,) = mg.grad(x * x, x, u, create_graph=True)
    (du,) = mg.grad(g, u)
    assert du.tolist() == [4]


def test_an_ordinary_backward_runs_rules_on_raw_arrays_and_records_nothing() -> None:
    seen = []

    @mg.op
    def spied(x):
        return x * 1.0

    spied.vjp(x=lambda g, x: (seen.append((type(g), type(x))), g * 1.0)[1])
    x = leaf(1.0)
    spied(x).backward(np.ones(1))
    assert seen == [(np.ndarray, np.ndarray)]
    assert not x.grad.requires_grad
    mg.grad(spied(x), x, np.ones(1), create_graph=True)
    assert seen[1] == (mg.Tensor, mg.Tensor)


def test_create_graph_records_inside_no_grad() -> None:
    x = leaf(2.0)
    y = x**3
    with mg.no_grad():
        (g,) = mg.grad(y, x, np.ones(1), create_graph=True)
    assert mg.grad(g, x)[0].tolist() == [12]


# ---- freeing --------------------------------------------------------------------------------------------------------


def test_second_backward_through_a_freed_graph_says_so() -> None:
    x = leaf(2.0)
    y = x * x
    y.backward(np.ones(1))
    with pytest.raises(RuntimeError, match=r"graph of this multiply was already freed .* retain_graph=True"):
        y.backward(np.ones(1))


def test_retain_graph_allows_another_pass() -> None:
    x = leaf(2.0)
    y = x * x
    y.backward(np.ones(1), retain_graph=True)
    y.backward(np.ones(1))
    assert x.grad.tolist() == [8]


def test_a_dropped_graph_is_gone_without_the_garbage_collector() -> None:
    gc.collect()
    gc.disable()
    try:
        x = leaf(1.0, 2.0)
        y = mg.softmax(mg.exp(x) * mg.tanh(x)).sum()
        nodes = [weakref.ref(n) for n in engine._reaching([y.node], {x.node}) if n is not x.node]
        assert len(nodes) == 5
        del y
        assert [n() for n in nodes] == [None] * 5
        y = mg.exp(x).sum()
        arrays = weakref.ref(y.node)
        y.backward()
        del y
        assert arrays() is None
    finally:
        gc.enable()


def test_backward_frees_the_saved_values_as_it_goes() -> None:
    x = leaf(1.0)
    y = mg.exp(x)
    kept = weakref.ref(y.node.saved[0])
    z = y * 2
    z.backward(np.ones(1))
    assert kept() is None


def test_rules_that_need_nothing_keep_nothing() -> None:
    big = mg.tensor(np.ones(1000), requires_grad=True)
    h = big * 2.0
    array = weakref.ref(h.numpy().base)
    y = (h + 1.0).reshape(10, 100).sum()
    del h
    assert array() is None
    y.backward()


def test_a_product_with_a_constant_saves_only_the_constant() -> None:
    x, c = leaf(1.0), mg.tensor([3.0])
    y = x * c
    assert y.node.plan.names == ("y",)


def test_chain_of_100_000_ops() -> None:
    x = leaf(1.0)
    y = x
    for _ in range(100_000):
        y = y + 1.0
    (g,) = mg.grad(y, x, np.ones(1), retain_graph=True)
    assert g.tolist() == [1]
    y.backward(np.ones(1))
    assert x.grad.tolist() == [1]
    z = x
    for _ in range(100_000):
        z = z * 1.0
    del z  # dropping an unused chain does not recurse either


# ---- grad mode ------------------------------------------------------------------------------------------------------


def test_no_grad_and_enable_grad_as_contexts_and_decorators() -> None:
    x = leaf(1.0)

    @mg.no_grad()
    def quiet() -> mg.Tensor:
        return x * 2

    @mg.no_grad
    def quiet_too() -> mg.Tensor:
        return x * 2

    @mg.enable_grad()
    def loud() -> mg.Tensor:
        return x * 2

    assert not quiet().requires_grad
    assert not quiet_too().requires_grad
    assert quiet.__name__ == "quiet"
    with mg.no_grad():
        assert not (x * 2).requires_grad
        assert loud().requires_grad
        with mg.enable_grad():
            assert (x * 2).requires_grad
        assert not mg.is_grad_enabled()
    assert mg.is_grad_enabled()


def test_grad_mode_is_restored_after_an_exception_and_when_reentered() -> None:
    mode = mg.no_grad()
    with pytest.raises(KeyError), mode, mode:
        raise KeyError
    assert mg.is_grad_enabled()
    x = leaf(1.0)
    x.register_hook(lambda g: [].pop())
    with pytest.raises(IndexError):
        (x * 2).backward(np.ones(1))
    assert mg.is_grad_enabled()


def test_grad_mode_is_thread_local() -> None:
    seen = []
    with mg.no_grad():
        thread = threading.Thread(target=lambda: seen.append(mg.is_grad_enabled()))
        thread.start()
        thread.join()
    assert seen == [True]


def test_a_generator_cannot_be_decorated() -> None:
    with pytest.raises(TypeError, match=r"no_grad cannot decorate batches, whose body runs after"):

        @mg.no_grad()
        def batches():
            yield 1


# ---- hooks ----------------------------------------------------------------------------------------------------------


def test_hooks_see_and_replace_the_complete_gradient() -> None:
    x = leaf(2.0)
    y = x * 3
    seen = []
    y.register_hook(lambda g: seen.append(g.item()))
    handle = y.register_hook(lambda g: g * 10)
    z = y * y + y
    z.backward(np.ones(1), retain_graph=True)
    assert seen == [13]
    assert x.grad.tolist() == [390]
    handle.remove()
    handle.remove()
    x.grad = None
    z.backward(np.ones(1))
    assert x.grad.tolist() == [39]


def test_hook_handle_as_a_context_and_hooks_on_a_dropped_tensor() -> None:
    x = leaf(1.0)
    y = x * 2
    y.register_hook(lambda g: g * 0)
    z = y * 1
    del y  # hooks live on the node
    z.backward(np.ones(1))
    assert x.grad.tolist() == [0]
    with x.register_hook(lambda g: g + 5):
        (x * 1).backward(np.ones(1))
    (x * 1).backward(np.ones(1))
    assert x.grad.tolist() == [7]


def test_hooks_are_recorded_under_create_graph() -> None:
    x = leaf(3.0)
    y = x * x
    y.register_hook(lambda g: g * g)
    (g,) = mg.grad(y, x, mg.tensor([2.0], dtype="float64", requires_grad=True), create_graph=True)
    assert g.tolist() == [24]
    assert mg.grad(g, x)[0].tolist() == [8]


def test_a_hook_may_not_write_to_the_gradient_or_change_its_shape() -> None:
    x = leaf(1.0, 2.0)

    def writes(g: mg.Tensor) -> None:
        with mg.enable_grad():
            g[0] = 5

    with x.register_hook(writes), pytest.raises(RuntimeError, match="cannot write to a tensor"):
        (x * 2).sum().backward()
    with x.register_hook(lambda g: g.sum()), pytest.raises(ValueError, match=r"hook returned shape \(\) for .* \(2,\)"):
        (x * 2).sum().backward()
    assert x.grad is None


def test_hooks_and_retain_grad_need_a_gradient() -> None:
    with pytest.raises(RuntimeError, match="never be called"):
        mg.tensor([1.0]).register_hook(print)
    with pytest.raises(RuntimeError, match="nothing would arrive"):
        mg.tensor([1.0]).retain_grad()


# ---- the op contract ------------------------------------------------------------------------------------------------


def test_arguments_bind_by_name_and_default() -> None:
    x = mg.ones((2, 3))
    assert mg.sum(keepdims=True, x=x).shape == (1, 1)
    with pytest.raises(TypeError, match=r"sum\(\) got an unexpected keyword argument 'dim'"):
        mg.sum(x, dim=1)
    with pytest.raises(TypeError, match=r"multiply\(\) missing 1 required positional argument: 'y'"):
        mg.multiply(x)


def test_ops_on_raw_arrays_record_nothing_and_return_arrays() -> None:
    for out in (mg.sum(np.ones((2, 3))), mg.add(1.0, 2.0), mg.add([1, 2], [3, 4]), mg.sum([1.0, 2.0]), mg.exp(0.0)):
        assert type(out) is np.ndarray
    assert mg.add([1, 2], [3, 4]).tolist() == [4, 6]


def test_results_are_plain_tensors_whatever_subclass_goes_in() -> None:
    class Special(mg.Tensor):
        __slots__ = ()

    x = Special([1.0], requires_grad=True)
    y = x * 2
    assert type(y) is mg.Tensor
    y.backward()
    assert type(x.grad) is mg.Tensor
    assert x.grad.tolist() == [2]


def test_aux_outputs_are_returned_beside_the_one_that_is_differentiated() -> None:
    @mg.op(aux=("index",))
    def largest(x):
        return x.max(), x.argmax()

    largest.vjp(x=lambda g, index, x_shape: mg.index_add(np.zeros(x_shape), g, index))
    x = leaf(1.0, 5.0, 2.0)
    value, index = largest(x)
    assert (value.item(), index.item()) == (5, 1)
    assert not index.requires_grad
    value.backward()
    assert x.grad.tolist() == [0, 1, 0]
    value, index = largest(np.array([1.0, 5.0]))
    assert (value, index) == (5, 1)


def test_joint_rules_agree_with_separate_ones_and_run_only_when_they_apply() -> None:
    used = []

    @mg.op
    def product(x, y):
        return x * y

    product.vjp(x=lambda g, y: g * y, y=lambda g, x: g * x)
    product.vjp_joint("y", "x", rule=lambda g, x, y: (used.append(1), (g * x, g * y))[1])
    mg.check_gradients(product, [1.0, 2.0], [3.0, 4.0])
    used.clear()
    x, y = leaf(2.0), leaf(3.0)
    product(x, y).backward(np.ones(1))
    assert (x.grad.item(), y.grad.item(), len(used)) == (3, 2, 1)
    assert mg.grad(product(x, 4.0), x)[0].item() == 4
    mg.grad(product(x, y), [x, y], create_graph=True)
    assert len(used) == 1
    assert mg.grad(product(x, y), y)[0].item() == 2


def test_a_joint_rule_sends_nothing_where_nobody_asked() -> None:
    visited = []

    @mg.op
    def noted(x):
        return x * 1.0

    noted.vjp(x=lambda g: visited.append(1) or g)

    @mg.op
    def product(x, y):
        return x * y

    product.vjp(x=lambda g, y: g * y, y=lambda g, x: g * x)
    product.vjp_joint("x", "y", rule=lambda g, x, y: (g * y, g * x))
    a, b = leaf(2.0), leaf(3.0)
    assert mg.grad(product(a * 1, noted(b)), a)[0].item() == 3
    assert visited == []


def test_sequence_arguments_mix_tensors_that_need_gradients_with_others() -> None:
    a, b = leaf(1.0), leaf(2.0)
    y = mg.concatenate([a, np.array([5.0]), b, mg.tensor([7.0], dtype="float64"), a])
    assert y.tolist() == [1, 5, 2, 7, 1]
    y.backward([1.0, 2.0, 3.0, 4.0, 5.0])
    assert (a.grad.item(), b.grad.item()) == (6, 3)


def test_sequences_can_be_saved_whole() -> None:
    @mg.op(sequence="xs")
    def total(xs):
        return sum(x * x for x in xs)

    total.vjp(xs=lambda g, xs: [2 * g * x for x in xs])
    mg.check_gradients(lambda a, b: total([a, b, a]), [1.0, 2.0], [3.0, 4.0])
    a = leaf(1.0)
    y = total([a, a])
    with mg.no_grad():
        a += 1
    with pytest.raises(RuntimeError, match="total saved its argument 'xs'"):
        y.backward(np.ones(1))


def test_a_rule_may_return_none_for_no_gradient() -> None:
    @mg.op
    def first(x, y):
        return x * 1.0

    first.vjp(x=lambda g: g, y=lambda g: None)
    x, y = leaf(1.0), leaf(1.0)
    assert mg.grad(first(x, y), [x, y], allow_unused=True)[1] is None


def test_a_missing_rule_is_named() -> None:
    @mg.op
    def halve(x, y=None):
        return x / 2

    with pytest.raises(TypeError, match=r"halve has no gradient rule for its argument 'x': register one with"):
        halve(leaf(1.0))
    assert halve(mg.tensor([1.0])).tolist() == [0.5]
    with mg.no_grad():
        assert halve(leaf(1.0)).tolist() == [0.5]


def test_a_rule_can_name_only_what_exists() -> None:
    @mg.op
    def same(x):
        return x * 1.0

    with pytest.raises(TypeError, match=r"a rule of same names \['z'\]; it may name \['out', 'x', 'x_shape'\]"):
        same.vjp(x=lambda g, z: g)
    with pytest.raises(TypeError, match=r"same has no argument 'y' to differentiate"):
        same.vjp(y=lambda g: g)


def test_a_rule_of_wrong_shape_is_named() -> None:
    @mg.op
    def same(x):
        return x * 1.0

    same.vjp(x=lambda g: g[:1])
    with pytest.raises(ValueError, match=r"rule of same for 'x' returned shape \(1,\); its input has shape \(2,\)"):
        same(leaf(1.0, 2.0)).sum().backward()


def test_a_rule_may_return_a_python_number() -> None:
    @mg.op
    def same(x):
        return x * 1.0

    same.vjp(x=lambda g: 3.0)
    x = mg.tensor(2.0, requires_grad=True)
    same(x).backward()
    assert x.grad.item() == 3
    assert x.grad.dtype == np.float32


def test_integer_results_leave_the_graph() -> None:
    x = leaf(1.0, 2.0)
    assert not (x > 1).requires_grad
    assert not mg.argmax(x).requires_grad
    assert not x.astype("int64").requires_grad


def test_a_users_op_stays_out_of_the_registry() -> None:
    @mg.op
    def exp(x):
        """Mine."""
        return x

    assert engine.REGISTRY["exp"] is mg.exp.op
    assert exp.__doc__ == "Mine."


def test_ops_look_like_functions() -> None:
    import inspect
    import pickle

    assert str(inspect.signature(mg.clip)) == "(x, min=None, max=None)"
    assert "limited" in mg.clip.__doc__
    assert pickle.loads(pickle.dumps(mg.clip)) is mg.clip


# ---- errors ---------------------------------------------------------------------------------------------------------


def test_backward_on_a_non_scalar_without_a_seed() -> None:
    with pytest.raises(RuntimeError, match=r"of shape \(2,\) needs a seed: pass gradient= .* y.sum\(\).backward"):
        (leaf(1.0, 2.0) * 2).backward()
    x = leaf(1.0, 2.0)
    with pytest.raises(RuntimeError, match="pass grad_outputs="):
        mg.grad(x * 2, x)


def test_seeds_that_do_not_fit() -> None:
    x = leaf(1.0, 2.0)
    with pytest.raises(ValueError, match=r"gradient has shape \(3,\), but the tensor it belongs to has shape \(2,\)"):
        (x * 2).backward(np.ones(3))
    with pytest.raises(ValueError, match="grad_outputs has 2 seeds for 1 outputs"):
        mg.grad([x.sum()], x, [None, None])


def test_backward_without_a_graph() -> None:
    with pytest.raises(RuntimeError, match="no graph to go back through: none of its inputs requires a gradient"):
        mg.tensor(1.0).backward()
    with pytest.raises(RuntimeError, match=r"inputs\[0\], of shape \(\), does not require a gradient"):
        mg.grad(leaf(1.0), mg.tensor(1.0))


def test_shapes_that_do_not_broadcast() -> None:
    with pytest.raises(
        ValueError, match=r"add: the shapes of x \(2, 3\) and y \(4,\) do not broadcast: counted from the last axis"
    ):
        mg.ones((2, 3)) + mg.ones(4)
    with pytest.raises(ValueError, match=r"where: the shapes of condition \(2,\) and x \(3,\) do not"):
        mg.where(mg.ones(2) > 0, mg.ones(3), 1.0)


def test_an_error_of_the_array_library_says_which_op_and_what_it_was_given() -> None:
    with pytest.raises(ValueError, match="must match exactly") as caught:
        mg.concatenate([mg.ones((2, 3)), mg.ones((4, 5))])
    assert caught.value.__notes__ == ["in concatenate(arrays=[float32[2, 3], float32[4, 5]], axis=0)"]


def test_a_failed_backward_changes_no_grad() -> None:
    x, w = leaf(1.0), leaf(2.0)
    y = (x * w) * (w * w)
    with mg.no_grad():
        x += 1
    with pytest.raises(RuntimeError, match="changed in place"):
        y.backward(np.ones(1))
    assert x.grad is w.grad is None


def test_gradients_that_overflow_add_up_without_a_warning():
    """As those of float16 do under a GradScaler, which looks at the sum."""
    x = mg.tensor([0.0], requires_grad=True)
    for slope in (np.inf, -np.inf):
        x.backward(mg.tensor([slope], dtype="float32"))
    assert np.isnan(x.grad.item())


def test_a_view_of_an_array_that_somebody_holds_is_copied_for_the_user():
    """A leaf may keep a view without a copy only if nothing else holds what it is a view of, itself or by a view."""
    held = {}

    @mg.op
    def watched(x, how):
        return x * 1.0

    def rule(g, how):
        new = np.full(g.shape[::-1], 2.0, g.dtype)
        held[how] = {"nobody": None, "itself": new, "by a view": new[1:]}[how]
        return new.T

    watched.vjp(x=rule)
    for how in ("nobody", "itself", "by a view"):
        x = mg.tensor(np.ones((3, 4)), requires_grad=True)
        watched(x, how).sum().backward()
        if held[how] is not None:
            assert not np.shares_memory(x.grad._array, held[how])
            held[how][...] = 7
        np.testing.assert_array_equal(x.grad.numpy(), np.full((3, 4), 2.0))


@pytest.mark.parametrize("view_first", [False, True])
def test_a_view_of_the_gradient_that_came_in_is_copied_if_another_input_gets_it_too(view_first):
    @mg.op
    def both(x, y):
        return x + y

    itself, view = lambda g: g, lambda g: g.swapaxes(0, 1)
    both.vjp(x=view if view_first else itself, y=itself if view_first else view)
    x, y = (mg.tensor(np.ones((2, 2)), requires_grad=True) for _ in range(2))
    both(x, y).exp().sum().backward()
    assert not np.shares_memory(x.grad._array, y.grad._array)


def test_no_argument_is_called_what_rules_call_the_output() -> None:
    """A rule that named it would get the output instead, and be wrong without a word."""
    with pytest.raises(TypeError, match="an argument of masked is called 'out', which is what rules call its output"):

        @mg.op
        def masked(g, out):
            return g * (out > 0)


def test_second_derivatives_through_relu() -> None:
    x = np.random.default_rng(0).standard_normal((5, 4, 2, 2))
    mg.check_gradients(lambda x: mg.relu(x * x - 0.5) * x, x)
