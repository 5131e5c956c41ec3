"""Findings that end a command with exit code 1 and one line."""

from __future__ import annotations


class CheckFailed(Exception):
    """A check of a machine, a process or a stored result failed; the message says which."""
