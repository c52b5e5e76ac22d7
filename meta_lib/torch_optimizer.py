"""A learned rule in the place of torch.optim.Adam.

`Learned` is a `torch.optim.Optimizer` that follows a trained rule: one of `lstm_optimizer`, of
`gated_optimizer`, or of your own. Explained in part 3, "The LSTM optimizer", section "Another kind
of problem".
"""

import copy
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map_only

from meta_lib.lstm_optimizer import Rule
from meta_lib.machinery import checks


class Learned(torch.optim.Optimizer):
    """A learned rule for the parameters of any nn.Module, used as torch's own optimizers are.

    `Learned(network.parameters(), rule)`, then zero_grad, backward, step. The rule's weights are
    not changed. The rule sets its own rate; `lr` is a factor on its steps, for torch's schedulers.
    The real and the imaginary part of a complex parameter are two coordinates.

    `copy.deepcopy` and `pickle` take the rule with them. `state_dict()` holds the rule's state for
    each parameter, `lr`, and the rule's weights if it is an nn.Module; a rule that is none must be
    given again as it was.
    """

    def __init__(
        self, params: Iterable[Tensor] | Iterable[dict[str, Any]], rule: Rule, lr: float = 1.0
    ):
        """Make an optimizer for `params` (as torch.optim takes them) that follows `rule`.

        Raises TypeError or ValueError unless `lr`, which a group may have for itself, is positive.
        """
        super().__init__(params, {"lr": lr})
        self.rule = rule

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Take more parameters, as torch's optimizers do. Raises as `Learned` does."""
        checks.positive("lr", param_group.get("lr", self.defaults["lr"]))
        super().add_param_group(param_group)

    @torch.no_grad()
    def step(  # type: ignore[override]  # torch takes a loss for a float
        self, closure: Callable[[], Tensor] | None = None
    ) -> Tensor | None:
        """Change each parameter that has a gradient by one step of the rule; return the loss.

        `closure` computes the gradients anew and returns the loss, which a `GatedOptimizer` looks
        at: one number, or one for each task of a stack of parameters, (tasks, …) each.

        Raises ValueError, before any parameter is changed, for a gradient that is sparse, for a
        loss that does not fit the parameters, and for a GatedOptimizer that is given none.
        """
        loss = losses = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        if loss is not None:
            losses = torch.as_tensor(loss).detach()
            checks.shape("the loss of closure", losses, "() or (tasks,)", losses.ndim <= 1)
            losses = losses.reshape(-1)
        tasks = 1 if losses is None else len(losses)
        turns = [
            (each, each.grad, group["lr"])
            for group in self.param_groups
            for each in group["params"]
            if each.grad is not None
        ]
        for parameter, gradient, _ in turns:
            if gradient.layout != torch.strided:
                raise ValueError(
                    "gradients must be dense for a learned rule, but that of a parameter of shape "
                    f"{tuple(parameter.shape)} was sparse (nn.Embedding knows sparse=False)"
                )
            fits = tasks == 1 or parameter.shape[:1] == (tasks,)
            checks.shape("parameters", parameter, f"({tasks}, …) with {tasks} losses", fits)
        for parameter, gradient, lr in turns:
            values, memory = _real(parameter), self.state[parameter]
            # Copies, which a rule may keep in its state while the parameter goes on.
            theta, slope = (
                part.clone(memory_format=torch.contiguous_format).view(tasks, part.numel() // tasks)
                for part in (values, _real(gradient))
            )
            if "rule" not in memory:
                memory["rule"] = self.rule.initial_state(theta)
            after, memory["rule"] = self.rule(theta, slope, losses, memory["rule"])
            values.copy_(theta.lerp(after, lr).reshape(values.shape))
        return loss

    def state_dict(self) -> dict[str, Any]:
        """Return what `load_state_dict` needs to go on with the same bits."""
        weights = self.rule.state_dict() if isinstance(self.rule, nn.Module) else None
        return super().state_dict() | {"rule": weights}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over what `state_dict` gave, each tensor in the precision that it had.

        The rule's weights go into a copy of the rule: the one that was handed in stays as it was.

        Raises ValueError unless it came from a `Learned` with a rule of the same kind; else as
        torch does, where sizes differ.
        """
        rule, module = self.rule, isinstance(self.rule, nn.Module)
        if "rule" not in state_dict or (state_dict["rule"] is None) == module:
            raise ValueError(
                "state_dict must come from a Learned with a rule of the same kind, "
                f"{type(rule).__name__}, but held {', '.join(state_dict)}"
            )
        if isinstance(rule, nn.Module):
            rule = copy.deepcopy(rule)
            rule.load_state_dict(state_dict["rule"])
        # torch would cast the rule's states to the parameters' precision.
        super().load_state_dict(state_dict | {"state": {}})
        self.rule = rule
        keys = (key for group in state_dict["param_groups"] for key in group["params"])
        parameters = (each for group in self.param_groups for each in group["params"])
        for key, parameter in zip(keys, parameters, strict=True):
            if key in state_dict["state"]:
                self.state[parameter] = _copy(state_dict["state"][key], parameter.device)

    def __getstate__(self) -> dict[str, Any]:
        return super().__getstate__() | {"rule": self.rule}


def _real(tensor: Tensor) -> Tensor:
    return torch.view_as_real(tensor.resolve_conj()) if tensor.is_complex() else tensor


def _copy(state: Any, to: torch.device) -> Any:
    return tree_map_only(Tensor, lambda part: part.to(to, copy=True), state)
