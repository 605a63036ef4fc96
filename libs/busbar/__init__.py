"""Busbar: site energy management. Shared libraries; the services live under services/."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("busbar-ems")
except PackageNotFoundError:  # a source tree that was never installed
    __version__ = "0+unknown"
