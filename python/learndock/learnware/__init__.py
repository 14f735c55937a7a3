"""Learnwares: zips or folders with a model, its specifications and what it needs to run."""

from __future__ import annotations

from learndock.environment.requirements import missing_requirements, read_requirements
from learndock.learnware._model_file import load_model_file
from learndock.learnware.archive import ArchiveLimits, extract
from learndock.learnware.description import LearnwareDescription, SpecificationEntry
from learndock.learnware.labelled_sketch import LabelledSketch
from learndock.learnware.learnware import Learnware
from learndock.learnware.package import label_sketch, pack
from learndock.learnware.validation import Validation

__all__ = [
    "ArchiveLimits",
    "LabelledSketch",
    "Learnware",
    "LearnwareDescription",
    "SpecificationEntry",
    "Validation",
    "extract",
    "label_sketch",
    "load_model_file",
    "missing_requirements",
    "pack",
    "read_requirements",
]
