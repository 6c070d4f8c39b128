"""Several bidirectional GRUs on padded sequences.

`run_packed` leaves the work to torch (cuDNN on a GPU); `run_side_by_side` takes the step of all networks and both
directions at once, which on a CPU is several times faster. They agree up to rounding.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence


class _GatedRecurrence(torch.autograd.Function):
    """The sequential part of G GRUs, with its derivative.

    A step is r, z = sigmoid(gates + h W + b), n = tanh(gates_n + r (h W_n + b_n)), h' = n + z (h - n); the gates of
    all steps are computed beforehand, the gradients of W and b afterwards, each in one product.
    """

    @staticmethod
    def forward(ctx: Any, gates: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """`gates` (T, G, B, 3H) from the inputs, `weight` (G, H, 3H), `bias` (G, 1, 3H) -> states (T, G, B, H)."""
        n_steps, n_groups, n_samples, width = gates.shape
        dim = width // 3
        states = gates.new_zeros(n_steps + 1, n_groups, n_samples, dim)
        from_state = torch.empty_like(gates)
        candidates = torch.empty_like(states[1:])
        # Views of all steps at once: taken step by step they cost as much as the arithmetic.
        state_before, state_after = states[:-1].unbind(), states[1:].unbind()
        switch_gates, candidate_gates = (part.unbind() for part in gates.split([2 * dim, dim], dim=3))
        from_state_at, candidate_at = from_state.unbind(), candidates.unbind()
        switches_at = from_state[..., : 2 * dim].unbind()
        reset_at, update_at, from_state_n_at = (part.unbind() for part in from_state.split(dim, dim=3))
        for t in range(n_steps):
            torch.baddbmm(bias, state_before[t], weight, out=from_state_at[t])
            switches_at[t].add_(switch_gates[t]).sigmoid_()
            torch.addcmul(candidate_gates[t], reset_at[t], from_state_n_at[t], out=candidate_at[t]).tanh_()
            torch.lerp(candidate_at[t], state_before[t], update_at[t], out=state_after[t])
        ctx.save_for_backward(states, from_state, candidates, weight)
        return states[1:]

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the gradients of `gates`, `weight` and `bias`."""
        states, from_state, candidates, weight = ctx.saved_tensors
        n_steps, n_groups, n_samples, dim = candidates.shape
        reset, update, from_state_n = from_state.split(dim, dim=3)
        # Derivatives of the pre-activations of a step with respect to the state it returns.
        to_candidate = (1 - update) * (1 - candidates * candidates)
        to_update = (states[:-1] - candidates) * update * (1 - update)
        to_reset = to_candidate * from_state_n * reset * (1 - reset)
        slopes = torch.stack([to_reset, to_update, to_candidate * reset], dim=3)
        grad_states = torch.empty_like(candidates)
        grad_from_state = torch.empty_like(slopes)
        back = weight.transpose(1, 2)
        carried = torch.zeros_like(candidates[0])
        slope_at, update_at, grad_output_at = slopes.unbind(), update.unbind(), grad_output.unbind()
        grad_state_at, spread_at = grad_states.unbind(), grad_states.unsqueeze(3).unbind()
        grad_from_state_at, flat_at = grad_from_state.unbind(), grad_from_state.flatten(3).unbind()
        for t in reversed(range(n_steps)):
            torch.add(grad_output_at[t], carried, out=grad_state_at[t])
            torch.mul(spread_at[t], slope_at[t], out=grad_from_state_at[t])
            torch.mul(grad_state_at[t], update_at[t], out=carried)
            carried.baddbmm_(flat_at[t], back)
        grad_from_state = grad_from_state.flatten(3)
        grad_gates = torch.cat([grad_from_state[..., : 2 * dim], grad_states * to_candidate], dim=3)
        per_group = grad_from_state.transpose(0, 1).reshape(n_groups, n_steps * n_samples, 3 * dim)
        inputs = states[:-1].transpose(0, 1).reshape(n_groups, n_steps * n_samples, dim)
        return grad_gates, inputs.transpose(1, 2) @ per_group, per_group.sum(1, keepdim=True)


def _stacked(grus: Sequence[nn.GRU], name: str, layer: int) -> Tensor:
    """Return one parameter of all networks and both directions: (R, 2, ...)."""
    directions = (f"{name}_l{layer}", f"{name}_l{layer}_reverse")
    return torch.stack([torch.stack([getattr(gru, key) for key in directions]) for gru in grus])


def run_packed(grus: Sequence[nn.GRU], x: Tensor, lengths: Tensor) -> Tensor:
    """Do what `run_side_by_side` does, one network after the other; `lengths` on the CPU."""
    outputs = []
    for gru, sequences in zip(grus, x, strict=True):
        packed = pack_padded_sequence(sequences, lengths, batch_first=True, enforce_sorted=False)
        outputs.append(pad_packed_sequence(gru(packed)[0], batch_first=True, total_length=x.shape[2])[0])
    return torch.stack(outputs)


def run_side_by_side(grus: Sequence[nn.GRU], x: Tensor, lengths: Tensor) -> Tensor:
    """Run R bidirectional GRUs of equal size on R padded batches that share their lengths.

    Parameters
    ----------
    grus : networks with equal input size, hidden size H and number of layers, without dropout between layers
    x : (R, B, T, D_in)
    lengths : int64 (B,), valid steps; the reverse direction starts at each sample's last valid step

    Returns
    -------
    (R, B, T, 2H), 0 at padded steps
    """
    step = torch.arange(x.shape[2], device=x.device)
    valid = step < lengths[:, None]
    # Reverses the valid part of every sample and leaves the padding behind it; its own inverse.
    reverse = torch.where(valid, lengths[:, None] - 1 - step, step)
    # Mixed precision would round the state at every step.
    with torch.autocast(x.device.type, enabled=False):
        x = x.to(grus[0].weight_ih_l0.dtype)
        for layer in range(grus[0].num_layers):
            x = _run_layer(grus, layer, x, reverse)
    return x * valid[:, :, None]


def _run_layer(grus: Sequence[nn.GRU], layer: int, x: Tensor, reverse: Tensor) -> Tensor:
    """Run one layer on (R, B, T, D_in); `reverse` int64 (B, T), the steps in the order of the backward direction."""
    n_grus, n_samples, n_steps, _ = x.shape
    dim = grus[0].hidden_size
    sample = torch.arange(n_samples, device=x.device)[:, None]
    weight_in = _stacked(grus, "weight_ih", layer).flatten(1, 2)  # (R, 6H, D_in)
    bias_in = _stacked(grus, "bias_ih", layer).flatten(1, 2)[:, None]
    gates = torch.baddbmm(bias_in, x.flatten(1, 2), weight_in.transpose(1, 2))
    forward, backward = gates.view(n_grus, n_samples, n_steps, 2, 3 * dim).unbind(3)
    gates = torch.stack([forward, backward[:, sample, reverse]], dim=1).flatten(0, 1)
    weight = _stacked(grus, "weight_hh", layer).flatten(0, 1).transpose(1, 2)
    bias = _stacked(grus, "bias_hh", layer).flatten(0, 1)[:, None]
    states = _GatedRecurrence.apply(gates.permute(2, 0, 1, 3).contiguous(), weight.contiguous(), bias)
    forward, backward = states.permute(1, 2, 0, 3).unflatten(0, (n_grus, 2)).unbind(1)  # (R, B, T, H) each
    return torch.cat([forward, backward[:, sample, reverse]], dim=3)
