"""The model card: what a model is, how it was measured, what it cannot do; all from its own files."""

from pathlib import Path
from typing import Any


def write_card(spec: Any, metrics: dict[str, Any], path: Path) -> None:
    """Placeholder."""
    path.write_text("")
