"""A page of many runs: what each found, a figure of it, and where its report lies."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

from qdcjax.reporting.page import environment, image, style

OUTCOMES = ("holds", "fails", "undecided")


@dataclasses.dataclass(frozen=True)
class Entry:
    """A run.

    Attributes:
      title: of its report.
      facts: what it was and ran on, a few words each.
      link: of its report, from the gallery's folder.
      command: that made it.
      verdicts: prediction → (claim, outcome).
      figure: a PNG, or None.
    """

    title: str
    facts: Sequence[str]
    link: str
    command: str
    verdicts: Mapping[str, tuple[str, str]]
    figure: Path | None

    def count(self, outcome: str) -> int:
        """How many predictions have it."""
        return sum(of == outcome for _, of in self.verdicts.values())


def write_gallery(path: Path, entries: Sequence[Entry]) -> Path:
    """Writes the page, self-contained but for the links to reports, and returns its path."""
    template = environment().get_template("gallery.html")
    shown = {of.figure: image(of.figure) for of in entries if of.figure is not None}
    text = template.render(entries=entries, images=shown, outcomes=OUTCOMES, style=style())
    path.write_text(text, encoding="utf-8")
    return path
