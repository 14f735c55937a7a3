"""Environments of models: interpreters with what a learnware requires, made once and kept.

Strangers choose what is required, so nothing of it may run while an environment is made. Distributions come from the
index as wheels, which are only unpacked; a source distribution, a direct URL, a path or an option of pip's is refused.
The environment's interpreter is started nowhere but in the model's own process, since what wheels bring can run as
soon as it starts. Packages of conda, from the channels in `conda_file`, do run scripts of theirs as they are installed.
"""

from __future__ import annotations

from learndock.environment.build import Environment, build_environment, default_cache
from learndock.environment.choice import EnvironmentChoice

__all__ = ["Environment", "EnvironmentChoice", "build_environment", "default_cache"]
