"""What models use of the package's small functions: seeds, devices, YAML, modules by their path."""

from __future__ import annotations

import importlib
import importlib.util
import random
import re
import sys
from typing import Any

__all__ = [
    "allocate_cuda_idx",
    "choose_device",
    "get_module_by_module_path",
    "is_torch_available",
    "read_yaml_to_dict",
    "save_dict_to_yaml",
    "setup_seed",
]


def is_torch_available(verbose: bool = False) -> bool:
    """Whether PyTorch can be imported."""
    return importlib.util.find_spec("torch") is not None


def setup_seed(seed: int) -> None:
    """Seed the generators of Python, NumPy and, where it is there, PyTorch."""
    import numpy as np

    random.seed(seed)
    np.random.seed(seed)
    if is_torch_available():
        import torch

        torch.manual_seed(seed)
        torch.backends.cudnn.deterministic = True


def allocate_cuda_idx() -> int:
    """Give the number of any CUDA device, -1 where there is none."""
    if not is_torch_available():
        return -1
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    return random.randrange(count) if count else -1


def choose_device(cuda_idx: int = -1) -> Any:
    """Give the `torch.device` of a number: the CPU for -1 or without CUDA, the first for a number that is not there."""
    import torch

    number = int(cuda_idx)
    if number == -1 or not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device(f"cuda:{number if 0 <= number < torch.cuda.device_count() else 0}")


def read_yaml_to_dict(yaml_path: str) -> Any:
    """Read a YAML file of the model's own."""
    import yaml

    with open(yaml_path, encoding="utf-8") as file:  # noqa: PTH123 (a path as text, as everywhere here)
        return yaml.load(file, Loader=yaml.FullLoader)


def save_dict_to_yaml(dict_value: dict[str, Any], save_path: str) -> None:
    """Write a YAML file."""
    import yaml

    with open(save_path, "w", encoding="utf-8") as file:  # noqa: PTH123
        yaml.dump(dict_value, file, allow_unicode=True)


def get_module_by_module_path(module_path: Any) -> Any:
    """Import a module by the path of its .py file or by its dotted name; a module is given back."""
    if not isinstance(module_path, str):
        return module_path
    if not module_path.endswith(".py"):
        return importlib.import_module(module_path)
    name = re.sub(r"\W", "_", module_path[:-3]).lstrip("0123456789_") or "module"
    spec = importlib.util.spec_from_file_location(name, module_path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{module_path} can't be imported")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module
