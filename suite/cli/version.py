"""`offmap --version`: what a result may depend on that no configuration says."""

from __future__ import annotations

import typer

from suite.cli.output import print_lines


def versions() -> list[str]:
    """Lines: our version, those of the simulator and of the libraries, and the precision that `auto` stands for here.

    It imports torch, so nothing but the command asks for it.
    """
    from algorithms.kit.networks import native_precision
    from suite.results.provenance import versions as installed

    found = installed()
    native = native_precision("cpu") == "bf16"
    return [
        f"offmap {found.pop('offmap')}",
        *(f"{name} {version}" for name, version in found.items()),
        f"bfloat16 on this processor: {'native' if native else 'not native, so precision: auto is fp32'}",
    ]


def show_versions(asked: bool) -> None:
    """Print the versions and leave, if that was asked."""
    if asked:
        print_lines(versions())
        raise typer.Exit
