"""Consoles, the common option, and exit codes of all commands: 0 done, 1 failed, 2 wrong use or setting."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from obstore.exceptions import BaseError
from rich.console import Console

from collector_service.settings import CONFIG_VARIABLE, DEFAULT_CONFIG, SettingsError

# The lake is unreachable or refuses.
_LAKE_FAULTS: tuple[type[Exception], ...] = (BaseError, OSError)

console = Console()
errors = Console(stderr=True)

ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config",
        help=f"Settings file.  \\[default: the one that {CONFIG_VARIABLE} names, else {DEFAULT_CONFIG}]",
        show_default=False,
    ),
]


@contextmanager
def exit_codes(*expected: type[Exception]) -> Iterator[None]:
    """Turn expected errors into one message and an exit code."""
    try:
        yield
    except SettingsError as error:
        errors.print(f"vieweratlas: wrong setting\n{error}", soft_wrap=True, markup=False, highlight=False)
        raise typer.Exit(2) from None
    except typer.Exit:
        raise
    except (*expected, *_LAKE_FAULTS) as error:
        # Below the first line, obstore prints its whole configuration.
        text = (
            str(error).partition("\n\nDebug source")[0] if isinstance(error, _LAKE_FAULTS) else str(error)
        )
        errors.print(f"vieweratlas: {text}", soft_wrap=True, markup=False, highlight=False)
        raise typer.Exit(1) from None
