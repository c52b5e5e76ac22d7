"""Where the arithmetic happens. The only module that names a device.

The preface, section "How to run it".
"""

import os

import torch


def device() -> torch.device:
    """Return the device that everything runs on: CUDA where there is one, else MPS, else the CPU.

    The environment variable META_LIB_DEVICE (cpu, cuda, cuda:1, mps) overrides the choice.
    Apple's MPS knows no float64, so it is passed over while torch's default is float64, as it is
    in the book's chapters: 64 bits make the printed digits agree from machine to machine.

    Raises ValueError if META_LIB_DEVICE names a device that is unknown or not here.
    """
    asked = os.environ.get("META_LIB_DEVICE", "").strip()
    if asked:
        return _usable(asked)
    if torch.cuda.is_available():
        return torch.device("cuda")
    if torch.backends.mps.is_available() and torch.get_default_dtype() != torch.float64:
        return torch.device("mps")
    return torch.device("cpu")


def _usable(name: str) -> torch.device:
    try:
        torch.zeros(1, device=name)
    except Exception as error:
        raise ValueError(
            f"META_LIB_DEVICE is {name!r}, which cannot be used here for "
            f"{torch.get_default_dtype()}. Allowed: cpu, cuda, cuda:N or mps, where the machine "
            "has it; unset the variable to let the book choose."
        ) from error
    return torch.device(name)
