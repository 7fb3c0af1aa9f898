"""Jobs for real runners, as the worker's own tests have them."""

from worker.conftest import house

__all__ = ["house"]
