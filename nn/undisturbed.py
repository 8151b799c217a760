"""Looking into a model without leaving a trace."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from minigrad import get_rng_state, no_grad, set_rng_state
from minigrad.nn.module import Module


@contextmanager
def undisturbed(model: Module) -> Iterator[ExitStack]:
    """The model in eval mode and without a graph; afterwards it is as before, also after an error.

    As before are every module's mode and hooks, the buffers, and the random numbers to come. What is entered into the
    stack that `with` gives, as the handles of hooks, is left first.

    >>> import minigrad as mg
    >>> from minigrad import nn
    >>> net, seen = nn.Sequential(nn.BatchNorm1d(2), nn.Dropout(0.5)), []
    >>> with undisturbed(net) as keep:
    ...     _ = keep.enter_context(net[0].register_forward_hook(lambda module, args, out: seen.append(out.shape)))
    ...     y = net(mg.ones((3, 2)))
    >>> seen, y.requires_grad, net.training, net[0].num_batches_tracked.item()
    ([(3, 2)], False, True, 0)
    """
    names = ("training", "_hooks")  # where an object does not have them, its class does
    before = [(m, {name: vars(m)[name] for name in names if name in vars(m)}) for m in model.modules()]
    values = [(buffer, buffer.version.count, buffer.detach().copy()) for buffer in model.buffers()]
    numbers = get_rng_state()
    with no_grad():
        try:
            with ExitStack() as keep:
                model.eval()
                yield keep
        finally:
            set_rng_state(numbers)
            for module, had in before:
                for name in names:
                    vars(module).pop(name, None)
                vars(module).update(had)
            for buffer, count, value in values:
                if buffer.version.count != count:
                    buffer.copy_(value)
