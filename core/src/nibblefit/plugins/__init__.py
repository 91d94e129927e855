"""Finding, loading and calling plugins; every breach of the contract is named."""

from nibblefit.plugins.checking import check_hooks, check_info
from nibblefit.plugins.discovery import (
    EXTENSIONS,
    TARGETS,
    Plugin,
    PluginRow,
    list_targets,
    load_extension,
    load_target,
    plugin_of,
)
from nibblefit.plugins.manager import Manager

__all__ = [
    "EXTENSIONS",
    "TARGETS",
    "Manager",
    "Plugin",
    "PluginRow",
    "check_hooks",
    "check_info",
    "list_targets",
    "load_extension",
    "load_target",
    "plugin_of",
]
