"""The processes between the host and a model, run as a program by the folder's name, with the standard library alone.

Imports between these files are relative: the program has no package learndock (see __main__.py).
"""
