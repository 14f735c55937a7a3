"""Loggers by name, as some models ask for them."""

from __future__ import annotations

import logging

__all__ = ["get_module_logger"]


def get_module_logger(module_name: str, level: int | str | None = None, outfile: str | None = None) -> logging.Logger:
    """Give the logger of a name; it writes to standard error, and to `outfile` where one is given.

    Parameters
    ----------
    module_name : str
    level : int or str, optional
        By default that of information.
    outfile : path, optional
    """
    logger = logging.getLogger(module_name)
    logger.setLevel(logging.INFO if level is None else level)
    if not logger.handlers:
        handlers: list[logging.Handler] = [logging.StreamHandler()]
        if outfile is not None:
            handlers.append(logging.FileHandler(outfile))
        for handler in handlers:
            handler.setFormatter(logging.Formatter(f"[%(levelname)s] {module_name}: %(message)s"))
            logger.addHandler(handler)
    return logger
