"""What holds for every test."""

from __future__ import annotations

import gc


def pytest_configure() -> None:
    """Look for no garbage while seven thousand tests are collected."""
    gc.disable()


def pytest_collection_finish() -> None:
    """Leave them out of what is looked through from now on, which takes longer than many a test."""
    gc.freeze()
    gc.enable()
