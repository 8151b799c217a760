"""The state of a training: what a checkpoint holds, and from which it goes on bit for bit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

import minigrad as mg
from minigrad.nn.module import Module
from minigrad.nn.train.metrics import Metrics

if TYPE_CHECKING:
    from minigrad.nn.train.trainer import Trainer

VERSION = 1  # of the state


def collected(trainer: Trainer) -> dict[str, Any]:
    """Everything that learns, the random numbers, the loader's place, and what the epoch under way has come to."""
    return {
        "version": VERSION,
        "epoch": trainer.epoch,
        "step": trainer.step,
        "model": trainer.model.state_dict(),
        "criterion": trainer.criterion.state_dict() if isinstance(trainer.criterion, Module) else None,
        "optimizer": trainer.optimizer.state_dict(),
        "schedule": None if trainer.schedule is None else trainer.schedule.state_dict(),
        "average": None if trainer.average is None else trainer.average.state_dict(),
        "scaler": trainer.scaler.state_dict(),
        "callbacks": [[type(callback).__name__, callback.state_dict()] for callback in trainer.callbacks],
        "metrics": None if trainer._metrics is None else trainer._metrics.state_dict(),
        "seconds": trainer._seconds,
        "last_lr": trainer._last_lr,
        "history": [dict(row) for row in trainer.history],
        "loader": trainer._loader_state if trainer._loader is None else trainer._loader.state_dict(),
        "random": mg.get_rng_state(),
        "generators": [g.bit_generator.state for g in _generators(trainer)],
    }


def restore(trainer: Trainer, state: Mapping[str, Any]) -> None:
    """Put a trainer into a state that was collected from one of the same parts.

    Raises:
        ValueError: a state of other parts; nothing has been changed then.
    """
    if state.get("version") != VERSION:
        raise ValueError(f"state must be a trainer's of version {VERSION}, got version {state.get('version')!r}")
    for part in ("schedule", "average"):
        if (state[part] is None) != (getattr(trainer, part) is None):
            raise ValueError(f"the state was saved {'without' if state[part] is None else 'with'} a {part}")
    if (state["criterion"] is None) == isinstance(trainer.criterion, Module):
        raise ValueError("the state was saved with another kind of criterion: one is a Module, one a function")
    ours, theirs = [type(c).__name__ for c in trainer.callbacks], [name for name, _ in state["callbacks"]]
    if ours != theirs or len(_generators(trainer)) != len(state["generators"]):
        raise ValueError(f"the state was saved with the callbacks {theirs}, the trainer has {ours}")
    before = collected(trainer)
    try:
        _load(trainer, state)
    except BaseException:
        _load(trainer, before)
        raise


def _load(trainer: Trainer, state: Mapping[str, Any]) -> None:
    trainer.model.load_state_dict(state["model"])
    if isinstance(trainer.criterion, Module):
        trainer.criterion.load_state_dict(state["criterion"])
    trainer.optimizer.load_state_dict(state["optimizer"])
    if trainer.schedule is not None:
        trainer.schedule.load_state_dict(state["schedule"])
    if trainer.average is not None:
        trainer.average.load_state_dict(state["average"])
    trainer.scaler.load_state_dict(state["scaler"])
    for callback, (_, kept) in zip(trainer.callbacks, state["callbacks"], strict=True):
        callback.load_state_dict(kept)
    trainer._metrics = None
    if state["metrics"] is not None:
        trainer._metrics = Metrics()
        trainer._metrics.load_state_dict(state["metrics"])
    trainer.epoch, trainer.step, trainer._seconds = state["epoch"], state["step"], state["seconds"]
    trainer._last_lr = state["last_lr"]
    trainer.history = [dict(row) for row in state["history"]]
    trainer._loader, trainer._loader_state = None, state["loader"]
    mg.set_rng_state(state["random"])
    for generator, kept in zip(_generators(trainer), state["generators"], strict=True):
        generator.bit_generator.state = kept


def _generators(trainer: Trainer) -> list[np.random.Generator]:
    """Those that layers have, such as a dropout that was given one, each once."""
    found = [value for module in trainer.model.modules() for value in vars(module).values()]
    return list({id(g): g for g in found if isinstance(g, np.random.Generator)}.values())
