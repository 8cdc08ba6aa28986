"""Plugins of installed packages, for names of the face that may be theirs."""

from __future__ import annotations


def use_what_is_installed() -> None:
    """Have the plugins that installed packages name by entry points be in use."""
    from tasks.plugins import any_installed

    if any_installed():  # what follows takes as long to import as all of offmap
        from suite.experiment.plugins import use_installed_plugins

        use_installed_plugins()
