"""Fixtures for all tests: see `busbar.testing.fixtures`."""

pytest_plugins = ["busbar.testing.fixtures"]
