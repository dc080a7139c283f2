"""A report of realistic synthetic data, for the tests of the page."""

from pathlib import Path

import numpy as np

from qdcjax.measures.intervals import Interval
from qdcjax.measures.predictions import Prediction, judge
from qdcjax.reporting import browser, figures, page

HOSTILE = "</script><script>alert(1)</script><!-- \"quoted\" 'single' & \u2028\u2029 <b>bold</b>"


def around(value: float, half_width: float) -> Interval:
    return Interval(value, value - half_width, value + half_width, "95 % t over 3 seeds")


def solutions(count: int, seed: int = 0) -> list[browser.SolutionView]:
    random = np.random.default_rng(seed)
    made = []
    for index in range(count):
        depth = int(random.integers(2, 6))
        values = np.cumsum(random.integers(2, 30, depth + 1))
        error = int(random.integers(0, depth)) if random.random() < 0.5 else None
        steps = []
        for i in range(depth):
            right = error is None or i < error
            shown = values[i + 1] + (0 if right else 3)
            text = (
                f"{values[i]} + {values[i + 1] - values[i]} = {shown} marbles are in box {i + 1}."
            )
            sorm = float(np.clip(random.normal(0.78 if right else 0.24, 0.18), 0.01, 0.99))
            orm = float(np.clip(random.normal(0.56 if right else 0.35, 0.2), 0.01, 0.99))
            steps.append(browser.StepView(text, right, {"SORM": sorm, "ORM": orm}))
        answer = values[-1] + (0 if error is None else 3)
        steps.append(browser.StepView(f"#### {answer}", None, {"ORM": steps[-1].scores["ORM"]}))
        question = (
            f"Mara has {values[0]} marbles and fills {depth} boxes, each with some more than the "
            f"one before. How many marbles are in the last box of shelf {index + 1}?"
        )
        made.append(
            browser.SolutionView(
                question,
                f"Add the boxes one by one.\n#### {values[-1]}",
                str(answer),
                error is None,
                depth,
                steps,
                group="in distribution" if index % 3 else "longer problems",
            )
        )
    return made


def all_figures(folder: Path) -> dict[str, Path]:
    """One figure of each kind, saved."""
    random = np.random.default_rng(1)
    steps = np.arange(1, 1801, 6)
    loss = 3 * np.exp(-steps / 400) + 0.4 + random.normal(0, 0.08, len(steps))
    accuracy = 1 / (1 + np.exp(-(steps - 1000) / 250)) * 0.6
    speed = np.full(len(steps), 31000) + random.normal(0, 900, len(steps))
    rate = 3e-3 * np.minimum(1, steps / 100) * (1 - steps / 1900)
    k = [1, 2, 4, 8, 16, 32]

    def with_ends(x, y, half):
        return figures.Series(x, y, np.subtract(y, half), np.add(y, half))

    made = {
        "training": figures.lines(
            {
                "loss (nats per token)": {"student": figures.Series(steps, loss, smooth=15)},
                "greedy accuracy": {"student": figures.Series(steps, accuracy)},
                "learning rate": {"student": figures.Series(steps, rate)},
                "tokens per second": {"student": figures.Series(steps, speed, smooth=15)},
            },
            "step",
        ),
        "labels": figures.lines(
            {
                "share of labels": {
                    "precision": with_ends(k, [0.93, 0.93, 0.92, 0.91, 0.89, 0.86], 0.02),
                    "recall": with_ends(k, [0.56, 0.66, 0.74, 0.83, 0.88, 0.91], 0.03),
                }
            },
            "verifying completions K",
            percent=True,
            log_x=True,
        ),
        "drift": figures.lines(
            {
                "mean prediction": {
                    "truth": figures.Series(
                        range(1, 6), [0.9, 0.8, 0.7, 0.62, 0.6], reference=True
                    ),
                    "balanced": with_ends(range(1, 6), [0.86, 0.77, 0.71, 0.65, 0.61], 0.04),
                    "unbalanced": with_ends(range(1, 6), [0.95, 0.88, 0.66, 0.5, 0.41], 0.04),
                }
            },
            "position of the step",
            percent=True,
        ),
        "depth": figures.grouped_bars(
            ["2", "3", "4", "5"],
            {
                "SORM": [around(v, 0.03) for v in (0.78, 0.72, 0.66, 0.63)],
                "ORM": [around(v, 0.04) for v in (0.66, 0.6, 0.55, 0.52)],
            },
            "operations in the problem",
            "balanced step accuracy",
            counts=[2400, 2310, 1980, 1514],
            chance=0.5,
        ),
        "false_negatives": figures.grouped_bars(
            ["0–10", "10–30", "30–50", "50–75", "75–100"],
            {
                "ORM": [around(v, 0.05) for v in (0.93, 0.81, 0.6, 0.33, 0.11)],
                "SORM": [around(v, 0.05) for v in (0.61, 0.42, 0.3, 0.19, 0.08)],
            },
            "student's success rate from the prefix (%)",
            "false-negative rate on right steps",
            counts=[310, 622, 540, 700, 1320],
        ),
    }
    scores = {"SORM": random.beta(4, 2, 3000), "ORM": random.beta(2.2, 2, 3000)}
    right = {
        "SORM": random.random(3000) < scores["SORM"] * 0.95,
        "ORM": random.random(3000) < 0.3 + 0.6 * scores["ORM"],
    }
    made["reliability"] = figures.reliability(
        {name: (scores[name], right[name]) for name in scores}, "steps that are right"
    )
    made["histograms"] = figures.histograms(
        {
            name: {
                "right steps": scores[name][right[name]],
                "wrong steps": scores[name][~right[name]],
            }
            for name in scores
        },
        "score",
        "share of the class's steps",
    )
    return {name: figures.save(figure, folder / f"{name}.png") for name, figure in made.items()}


def report(folder: Path, solution_count: int = 200) -> page.Report:
    """A whole report, one solution of which is made of hostile text."""
    paths = all_figures(folder)
    hostile = browser.SolutionView(
        HOSTILE,
        HOSTILE,
        HOSTILE,
        False,
        2,
        [
            browser.StepView(HOSTILE, True, {"SORM": 0.9, "ORM": float("nan")}),
            browser.StepView("2 + 2 = 5", False, {"SORM": 0.7, "ORM": 0.2}),
        ],
        group="longer problems",
    )
    verdicts = [
        judge(
            Prediction("G1", "SORM's step accuracy is at least 4 points over the ORM's.", 0.04),
            around(0.091, 0.03),
        ),
        judge(
            Prediction("G1b", "On final answers the ORM is at least as accurate as the SORM.", 0.0),
            around(-0.09, 0.05),
        ),
        judge(
            Prediction(
                "G2", "The ORM's false-negative rate on right steps is above the SORM's.", 0.0
            ),
            around(0.25, 0.04),
        ),
        judge(
            Prediction(
                "G3",
                "Either refiner fixes at least 1.3 times what the better one fixes alone.",
                1.3,
            ),
            around(1.34, 0.12),
        ),
    ]
    return page.Report(
        title="Stepwise reward models and refinement",
        description=(
            "Where does a solution go wrong? An outcome reward model learns whether a prefix ends "
            "in a right answer under the student; a stepwise one learns whether any of eight "
            "completions does. Every step of these generated problems can be checked exactly, so "
            "both are held against the truth."
        ),
        run=page.RunFacts(
            command="python -m qdcjax.main --config=configs/sorm.py:study",
            config="sorm",
            preset="study",
            seeds=(0, 1, 2),
            device="2 CPU cores (x86-64)",
            git_revision="e21f120 (with changes)",
            versions={"python": "3.11.2", "jax": "0.10.2", "flax": "0.12.8", "qdcjax": "0.1.0"},
            stage_seconds={
                "student": 192.4,
                "rollouts": 18.2,
                "labels": 39.0,
                "reward models": 81.5,
            },
        ),
        headline=[
            page.HeadlineRow(
                "Student's greedy accuracy", around(0.571, 0.021), "%", "1,000 test problems a seed"
            ),
            page.HeadlineRow(
                "Step accuracy, SORM",
                around(0.682, 0.018),
                "%",
                "balanced at each prefix length; chance 50 %",
            ),
            page.HeadlineRow(
                "Step accuracy, ORM", around(0.591, 0.024), "%", "the same steps and threshold rule"
            ),
            page.HeadlineRow("SORM over ORM", around(0.091, 0.03), "points", "paired by question"),
            page.HeadlineRow(
                "Sampling speed", 24132.0, "tokens/s", "first seed, without compilation"
            ),
        ],
        verdicts=verdicts,
        sections=[
            page.Section(
                "Training",
                "The student's loss falls until the end; the budget is what limits it.",
                [
                    page.Plate(
                        paths["training"], "Training of the student. Lines: mean of 15 records."
                    )
                ],
            ),
            page.Section(
                "Labels",
                "Recall rises with K; precision falls as lucky completions are believed.",
                [
                    page.Plate(
                        paths["labels"],
                        "Precision and recall of step labels, with 95 % intervals.",
                    )
                ],
                [
                    page.Table(
                        ["K", "precision", "recall", "filter"],
                        [
                            [1, around(0.93, 0.011), around(0.56, 0.02), "none"],
                            [8, around(0.913, 0.01), 0.79, "consistency"],
                        ],
                        "Labels against truth.",
                        ["", "%", "%", ""],
                    )
                ],
            ),
            page.Section(
                "Step accuracy",
                "The gap between the models grows with depth.",
                [
                    page.Plate(
                        paths["depth"],
                        "Balanced step accuracy by the depth of the problem, with 95 % intervals.",
                    ),
                    page.Plate(
                        paths["false_negatives"],
                        "Right steps called wrong, by how often the student succeeds from there.",
                    ),
                    page.Plate(paths["histograms"], "Scores of right and wrong steps."),
                    page.Plate(
                        paths["reliability"],
                        "Calibration on steps, and the number of steps at each score.",
                    ),
                    page.Plate(
                        paths["drift"],
                        "Mean prediction by position; dashed: share of steps that are right.",
                    ),
                ],
            ),
        ],
        browser=browser.SolutionBrowser(
            [hostile, *solutions(solution_count - 1)],
            {"SORM": 0.5, "ORM": 0.45},
            "A random sample of the test drafts of seed 0.",
        ),
    )
