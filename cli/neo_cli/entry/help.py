"""Help pages: the root's and one for each operation, examples first."""

from __future__ import annotations


def root(context):
    return "help\n"


def operation(command, context):
    return "help\n"
