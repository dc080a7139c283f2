"""The QDC card: quality, diversity and complexity of text sets on one page."""

import textwrap
from collections.abc import Mapping

import numpy as np

from qdcjax.experiments.findings.qdc_card import COMPLEXITY, DIVERSITY, QUALITY, Findings, Samples
from qdcjax.experiments.running import publish
from qdcjax.experiments.stages.text_sets import CardSettings
from qdcjax.measures.intervals import Interval
from qdcjax.reporting import figures, point_figures
from qdcjax.reporting.page import HeadlineRow, Plate, Report, Section, Table
from qdcjax.workdir import Workdir

SHOWN = 280  # characters of a text
DRAWN = {"response_words": "words of the response", "steps": "steps", "depth": "depth"}


def report(
    workdir: Workdir, found: Findings, samples: Mapping[str, Samples], settings: CardSettings
) -> Report:
    """Everything that the page shows, with its figures saved under `figures/`."""
    headline = [
        HeadlineRow(f"{name}: {words}", found.results[f"{name}_{measure}"])
        for measure, words in (("vendi_1", DIVERSITY["vendi_1"]), ("steps", "steps a solution"))
        for name in samples
    ]
    return Report(
        title="QDC card",
        description="Quality, diversity and complexity of sets of prompts and responses. Quality "
        "and complexity are means over samples. Diversity depends on how many there are, and is "
        f"that of {settings.size:,} samples, the mean over blocks without overlap.",
        run=publish.run_facts(workdir),
        headline=headline,
        sections=[
            counts_section(found, samples),
            *families(found, samples, settings),
            distributions_section(workdir, samples),
            embeddings_section(workdir, found),
            clusters_section(found, samples),
            copies_section(found),
        ],
    )


def table(
    found: Findings, samples: Mapping[str, Samples], rows: Mapping[str, str], caption: str = ""
) -> Table:
    """A row a measure, a column a set; what no set has is left out."""
    cells = {
        words: [found.results.get(f"{name}_{measure}") for name in samples]
        for measure, words in rows.items()
    }
    there = [[words, *of] for words, of in cells.items() if any(map(_known, of))]
    return Table(["", *samples], there, caption)


def _known(value: float | Interval | None) -> bool:
    number = value.value if isinstance(value, Interval) else value
    return number is not None and not np.isnan(number)


def counts_section(found: Findings, samples: Mapping[str, Samples]) -> Section:
    """What was counted over the whole sets, and contamination."""
    rows = {
        "samples": "samples",
        "tokens": "words",
        "without_prompt": "left out, without a prompt",
        "distinct_texts": "different texts / texts",
        "distinct_1_of_all": "distinct words / words",
        "distinct_2_of_all": "distinct pairs of words / pairs",
        "distinct_3_of_all": "distinct triples of words / triples",
        "contaminated": "test prompts of which four fifths of the runs of words are there",
        "contaminated_share": "test prompts' runs of words that are there",
    }
    text = (
        "Of the whole sets. These shares fall with the size of a set: compare those below. Texts "
    )
    text += "of one template share runs of words too, and are no copies."
    return Section("Counts", text, tables=[table(found, samples, rows)])


def families(
    found: Findings, samples: Mapping[str, Samples], settings: CardSettings
) -> list[Section]:
    """A table for each family of measures."""
    embedding = {
        "lsa": f"singular vectors of tf-idf, {settings.width} dimensions",
        "policy": "the mean hidden state of the policy's last layer",
    }[settings.embedding]
    return [
        Section("Quality", "Means over samples.", tables=[table(found, samples, QUALITY)]),
        Section(
            "Diversity",
            f"Of {settings.size:,} samples. Embeddings are {embedding}; another embedding gives "
            "other numbers. Noise is diverse too: see the quality beside it.",
            tables=[table(found, samples, DIVERSITY)],
        ),
        Section("Complexity", "Means over samples.", tables=[table(found, samples, COMPLEXITY)]),
    ]


def distributions_section(workdir: Workdir, samples: Mapping[str, Samples]) -> Section:
    """Histograms of what complexity is a mean of."""
    plates = []
    for column, words in DRAWN.items():
        panels = {name: {words: of[column]} for name, of in samples.items()}
        figure = figures.histograms(panels, words, "share of the samples")
        path = figures.save(figure, workdir.path / "figures" / f"{column}.png")
        plates.append(Plate(path, f"{words.capitalize()}, of each set."))
    return Section("Distributions", "Of the samples.", plates)


def embeddings_section(workdir: Workdir, found: Findings) -> Section:
    """The embeddings in a plane, a panel a set, coloured by cluster."""
    panels = {name: (found.plane[name], found.labels[name]) for name in found.plane}
    names = [str(number) for number in range(1, len(found.clusters) + 1)]
    figure = point_figures.classes(panels, names, share=True)
    path = figures.save(figure, workdir.path / "figures" / "embeddings.png")
    text = "Two principal components of all sets' embeddings together."
    return Section("Embeddings", text, [Plate(path, "The colours are clusters.")])


def clusters_section(found: Findings, samples: Mapping[str, Samples]) -> Section:
    """Clusters with the texts in their middles."""
    rows = [
        [number, *cluster.shares.values(), _shown(*cluster.examples[0]), _shown(*other)]
        for number, cluster in enumerate(found.clusters, start=1)
        for other in cluster.examples[1:2] or [("", "")]
    ]
    columns = ["cluster", *samples, "nearest to the middle", "next"]
    units = ["", *["%"] * len(samples), "", ""]
    caption = "The share of each set's samples in a cluster, and what is typical of it."
    return Section(
        "Clusters",
        "By k-means of all sets' directions.",
        tables=[Table(columns, rows, caption, units)],
    )


def copies_section(found: Findings) -> Section:
    """The nearest pairs of each set."""
    tables = [
        Table(
            ["cosine", "ROUGE-L", "one", "the other"],
            [[cosine, rouge, _shown("", a), _shown("", b)] for cosine, rouge, a, b in pairs],
            name,
        )
        for name, pairs in found.copies.items()
    ]
    return Section("Nearest pairs", "Of the samples; each text once at most.", tables=tables)


def _shown(name: str, text: str) -> str:
    shown = textwrap.shorten(text, SHOWN, placeholder=" …")
    return f"{name}: {shown}" if name else shown
