"""Fuzz targets, one for each parser of files that strangers or accidents have written; see `run.py`.

A target is a module with `seeds()`, good files to begin with, and `run(data)`, which reads a file of these bytes and
asserts what must hold whatever they are: nothing but an error of ours comes out, nothing is left behind, and what is
read can be written and read again. `mutate`, where a module has one, changes a file below its checksums.
"""

TARGETS = (
    "spec_json",
    "spec_npz",
    "semantic",
    "scaling",
    "held_out",
    "labelled_sketch",
    "description",
    "requirements",
    "environment",
    "archive",
    "segments",
    "sketches",
    "dock_json",
)
