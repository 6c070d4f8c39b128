"""The machine of a rehearsal: where tensors go, what time passes, how much memory was in use."""

import resource
import time
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

GIB = 2**30


class Machine:
    """A GPU if there is one, else the CPU."""

    def __init__(self) -> None:
        self.is_gpu = torch.cuda.is_available()
        self.device = "cuda" if self.is_gpu else "cpu"

    @property
    def name(self) -> str:
        """Return what to call it in a table."""
        return torch.cuda.get_device_name() if self.is_gpu else f"CPU, {torch.get_num_threads()} threads"

    def filled(self, system: Any) -> nn.Module:
        """Return a system's network with weights of its own drawing."""
        self.begin()
        return system.network().to(self.device)

    def begin(self) -> None:
        """Let what comes have a peak of memory of its own, on a GPU."""
        if self.is_gpu:
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()

    def moved(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        """Return a batch whose tensors are here."""
        return {
            key: value.to(self.device) if isinstance(value, torch.Tensor) else value for key, value in batch.items()
        }

    def timed(self, run: Callable[[], Any]) -> tuple[Any, float]:
        """Return a result and its seconds."""
        started = time.perf_counter()
        result = run()
        if self.is_gpu:
            torch.cuda.synchronize()
        return result, time.perf_counter() - started

    def peak(self) -> str:
        """Return the memory at most in use: of the GPU, or of this process since it began."""
        if self.is_gpu:
            return f"{torch.cuda.max_memory_allocated() / GIB:.1f} GiB"
        return f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / GIB:.1f} GiB of the process"

    def attention(self, config: Any) -> str:
        """Return the kernel of the attention that a system names; what torch chooses where it names none."""
        asked = getattr(getattr(config, "network", None), "attention", None)
        return {"fused": "memory-efficient", "plain": "plain"}[asked] if asked and self.is_gpu else "torch's choice"
