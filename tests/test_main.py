"""Every config's smoke preset from the command line: what it writes, and that it repeats."""

import json
import math
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import runs

from qdcjax.reporting.metrics import METRICS_FILE, read_metrics

STUDENT = {"student", "greedy-test", "samples-test", "greedy-held_out", "samples-held_out"}
SPLITS = ("test", "held_out")


def of_policies(*policies: str, reference: bool = True) -> set[str]:
    """Tables of a study that evaluates several policies."""
    kinds = ["greedy", "samples", *(["reference"] if reference else [])]
    return {f"{kind}-{split}-{p}" for p in policies for split in SPLITS for kind in kinds}


ONLINE = {"student", "predictions", "learned"} | of_policies("start", "learned")
ON_THE_WAY = of_policies("at_1")  # a policy gradient's policy after the first fifth
CHARTS = ("charts-10-2", "charts-10-4", "charts-50-2", "predictor-10-2", "plain-10-2")
CHARTS += ("plain_wide-10-3",)
GENERATORS = ("sinkhorn-16-3", "sinkhorn-16-4", "sinkhorn-128-4", "sinkhorn-64-11")
GENERATORS += ("critic_penalty-16-3", "critic_spectral-16-3", "sinkhorn_d-16-2")
GENERATORS += ("sinkhorn_d-16-3", "sinkhorn_below-16-2")
CARD = ("few", "many", "wrong")
# Config → stages of its smoke preset.
STAGES_OF = {
    "configs/evaluate.py": STUDENT - {"student"} | {"policy"},
    "configs/sft.py": STUDENT,
    "configs/sorm.py": STUDENT
    | {"predictions", "drafts", "verify", "verify_many", "scores"}
    | {f"{kind}-{seed}" for kind in ("orm", "sorm", "unbalanced_sorm") for seed in (0, 1)},
    "configs/refinement.py": STUDENT
    | {"predictions", "drafts", "verify", "orm-0", "sorm-0", "exact_sorm"}
    | {f"{kind}_{what}" for kind in ("global", "local") for what in ("pairs", "refiner")}
    | {f"{kind}-{s}" for kind in ("values", "global", "local", "scores") for s in SPLITS},
    "configs/expert_iteration.py": {"student", "predictions"}
    | {f"{kind}-{number}" for kind in ("rollouts", "round") for number in (1, 2)}
    | of_policies("start", "round-1", "round-2"),
    "configs/ppo.py": ONLINE | ON_THE_WAY,
    "configs/rloo.py": ONLINE | ON_THE_WAY,
    "configs/grpo.py": ONLINE | ON_THE_WAY,
    "configs/random_walks.py": {name for name in ONLINE | ON_THE_WAY if "held_out" not in name},
    "configs/on_chip.py": ONLINE,
    "configs/pretrain.py": {"small", "large"}
    | {f"{kind}-test-{size}" for kind in ("greedy", "samples") for size in ("small", "large")},
    "configs/intrinsic_dimension.py": {"predictions", "tokenizer", "corpus-text"}
    | {f"width{width}-{seed}" for width in (16, 32) for seed in (0, 1)}
    | {"layers", "positions", "sensitivity"},
    "configs/scaling_laws.py": {"predictions", "tokenizer", "dimensions"}
    | {f"regression-16-{model}" for model in ("base", "slim", "deep")}
    | {f"corpus-{name}" for name in ("python", "stories", "sums")}
    | {f"language-{model}" for model in ("base", "slim")},
    "configs/chart_autoencoder.py": {"predictions", "student"}
    | {f"{program}{what}" for program in CHARTS for what in ("", "-errors")},
    "configs/generator.py": {"predictions", "student", "floors"}
    | {f"{program}{what}" for program in GENERATORS for what in ("", "-distances")},
    "configs/qdc_card.py": {f"{what}-{of}" for what in ("set", "described") for of in CARD}
    | {"embeddings"},
    "configs/qdc_algorithms.py": {"predictions", "tokenizer", "writer-0", "emitted", "fronts"}
    | {f"made-{name}" for name in ("temperature", "rejection", "map_elites")}
    | {"made-rejection-parents", "made-rejection-right"}
    | {"students", *(f"answers-{test}" for test in ("in", "templates", "deeper"))},
    "configs/self_improvement.py": {"predictions", "tokenizer", "writer-0", "probe-0", "losses-0"}
    | {f"{what}-{n}" for what in ("candidates", "round", "probe", "losses") for n in (1, 2)}
    | {"answers-start", "answers-last"},
    "configs/qdc_dials.py": {"predictions", "tokenizer", "students", "described", "selections"}
    | {f"answers-{test}" for test in ("in", "more", "templates", "deeper")},
    "configs/noise.py": {"predictions", "tokenizer"}
    | {f"{what}-add" for what in ("traces", "students", "greedy", "sampled")},
    "configs/rcrl.py": {"student", "predictions", "rollouts", "drafts", "orm", "values", "learned"}
    | of_policies("start", "learned", reference=False)
    | {"greedy-test-learned_bad", "samples-test-learned_bad"},
}
STAGES = {Path(config).stem: stages for config, stages in STAGES_OF.items()}
# Its stages are those of its members: see test_runs_of_runs.py.
OF_RUNS = {"configs/rl_comparison.py"}
# Config → what the figures of its last policy begin with.
LAST = {"expert_iteration": "round_2_", "ppo": "learned_", "rloo": "learned_", "grpo": "learned_"}
LAST |= {"rcrl": "learned_", "random_walks": "learned_", "on_chip": "learned_"}
LAST |= {"pretrain": "small_"}
# Studies that ask no word problems → some of their figures with an interval.
OWN_FIGURES = {
    "noise": {"add_clean_greedy_accuracy", "add_dynamic10_sampled_accuracy"},
    "scaling_laws": {"sphere2_in_16_alpha_data", "sums_alpha_data", "S4_depth_statistic"},
    "chart_autoencoder": {"sphere2_charts_64_error", "torus_plain_64_error", "C6_statistic"},
    "generator": {"sphere3_sinkhorn_32_w1", "floor_S2_40", "W3_below_statistic"},
    "qdc_dials": {"base_in_accuracy", "diversity_out_effect", "Q3_vendi_statistic"},
    "qdc_algorithms": {"map_elites_coverage", "seeds_in_accuracy", "Q5_score_quality_statistic"},
    "self_improvement": {"replace_loss_2", "accumulate_pass_2", "Q6_difference_statistic"},
    "qdc_card": {"few_vendi_1", "wrong_answer", "many_contaminated"},
    "intrinsic_dimension": {"width16_mle_euclidean", "width32_twonn_cosine", "S5_width_statistic"},
}
PNG = b"\x89PNG\r\n\x1a\n"

pytestmark = pytest.mark.slow


def read(path: Path):
    return json.loads(path.read_text())


def test_every_config_is_known_here():
    found = {f"configs/{path.name}" for path in (runs.ROOT / "configs").glob("*.py")}
    assert STAGES_OF.keys() | OF_RUNS == found


@pytest.mark.parametrize("study", sorted(STAGES))
def test_workdir_holds_what_the_contract_names(study):
    workdir = runs.finished(study)
    recorded = read(workdir / "config.json")
    config = recorded["config"]
    assert config.get("name", config["study"]) == study and config["preset"] == "smoke"
    assert f"--config=configs/{study}.py:smoke" in recorded["command"]
    assert {"jax", "flax", "optax", "orbax-checkpoint", "qdcjax"} <= recorded["versions"].keys()
    assert recorded["git_revision"] and recorded["device"].endswith("CPU cores")

    assert {path.name for path in (workdir / "stages").iterdir()} == STAGES[study]
    assert not list((workdir / "checkpoints").glob("*/*")), "resume points of finished stages"
    for plate in (workdir / "figures").iterdir():
        assert plate.suffix == ".png" and plate.read_bytes().startswith(PNG)
    assert len(list((workdir / "figures").iterdir())) > 0

    timings = read(workdir / "timings.json")
    assert timings.keys() == STAGES[study]
    assert all(seconds > 0 for seconds in timings.values())

    assert (workdir / "verdicts.json").exists() == ("predictions" in recorded["config"])
    if "predictions" in recorded["config"]:
        verdicts, claimed = read(workdir / "verdicts.json"), recorded["config"]["predictions"]
        if study == "refinement":  # those of the run that it goes on from come first
            earlier = read(runs.finished("sorm") / "verdicts.json")
            assert {name: verdicts[name] for name in earlier} == earlier
            claimed = earlier | claimed
        assert verdicts.keys() == claimed.keys()
        for name, found in verdicts.items():
            assert found["threshold"] == claimed[name]["threshold"]
            assert found["verdict"] in ("holds", "fails", "undecided")

    page = (workdir / "report.html").read_text()
    assert page.rstrip().endswith("</html>")
    assert 'src="http' not in page and 'href="http' not in page, "one self-contained page"


@pytest.mark.parametrize("study", sorted(STAGES))
def test_summary_is_flat_and_intervals_hold_their_value(study):
    summary = read(runs.finished(study) / "summary.json")
    assert list(summary) == sorted(summary)
    for name, value in summary.items():
        assert value is None or (type(value) is float and math.isfinite(value)), name
    bounded = [name for name in summary if f"{name}_low" in summary]
    last = LAST.get(study, "")
    if study in OWN_FIGURES:
        assert OWN_FIGURES[study] <= set(bounded)
    else:
        assert f"{last}greedy_accuracy_test" in bounded and f"{last}pass_at_4_test" in bounded
    for name in bounded:
        low, value, high = (summary[name + end] for end in ("_low", "", "_high"))
        if None not in (low, value, high):
            assert low <= value <= high, name
    if study in ("random_walks", *OWN_FIGURES):  # walks name no number to vote with
        return
    at = {name: summary[f"{last}{name}_test"] for name in
          ("pass_at_1", "maj_at_1", "pass_at_4", "maj_at_4", "sampled_accuracy")}  # fmt: skip
    assert at["pass_at_1"] == pytest.approx(at["sampled_accuracy"])
    assert at["maj_at_1"] == pytest.approx(at["pass_at_1"]), "one vote"
    assert at["pass_at_4"] >= at["maj_at_4"] > 0


@pytest.mark.parametrize("study", ["sft", "sorm"])
def test_metrics_of_every_training_stage_are_logged_once_a_step(study):
    workdir = runs.finished(study)
    records = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    trained = {name for name in STAGES[study] if name == "student" or name[-1].isdigit()}
    assert {record["stage"] for record in records} == trained
    for stage in trained:
        losses = {r["step"]: r["loss"] for r in records if r["stage"] == stage and "loss" in r}
        assert len(losses) == sum(r["stage"] == stage and "loss" in r for r in records)
        section = read(workdir / "config.json")["config"]["sft" if stage == "student" else "reward"]
        assert max(losses) == section["steps"]
        events = list((workdir / "tensorboard" / stage).glob("events.out.tfevents.*"))
        assert len(events) == 1 and events[0].stat().st_size > 0


def test_the_evaluation_alone_gives_the_study_s_own_figures():
    """`evaluate` on the sorm run's student asks the same questions with the same keys."""
    alone, within = (read(runs.finished(s) / "summary.json") for s in ("evaluate", "sorm"))
    ways = ("greedy", "pass", "maj", "sampled")
    names = [n for n in alone if n.startswith(ways) and "_over_" not in n]
    assert len(names) > 30
    for name in names:
        assert alone[name] == within[name], name
    assert alone["rerank_at_4_test"] == pytest.approx(within["orm_rerank_at_4_test"])


def test_the_same_command_reuses_every_stage(tmp_path):
    workdir = tmp_path / "again"
    shutil.copytree(runs.finished("sorm"), workdir)
    summary, before = (workdir / "summary.json").read_bytes(), runs.stage_times(workdir)
    (workdir / "summary.json").write_text("{ cut")  # made from the stages, so it heals
    began = time.monotonic()
    done = runs.run("configs/sorm.py:smoke", workdir, launch=runs.PYTHON)
    assert time.monotonic() - began < 60
    assert runs.stage_times(workdir) == before
    assert (workdir / "summary.json").read_bytes() == summary
    assert f"{workdir}/summary.json" in done.stdout and f"{workdir}/report.html" in done.stdout


def test_a_gallery_links_to_the_runs(tmp_path):
    shutil.copytree(runs.finished("sft"), tmp_path / "sft-smoke")
    done = runs.run(None, tmp_path / "none", f"--gallery={tmp_path}", launch=runs.PYTHON)
    assert done.stdout.strip() == f"read {tmp_path}/gallery.html"
    assert 'href="sft-smoke/report.html"' in (tmp_path / "gallery.html").read_text()
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("environment", "folder"),
    [({"XDG_CACHE_HOME": "/elsewhere"}, "/elsewhere/qdcjax"), ({}, "~/.cache/qdcjax")],
)
def test_compiled_programs_lie_in_the_user_s_cache(environment, folder):
    """Without --compilation_cache, which all other runs of the tests are given."""
    code = "from qdcjax import main; main.flags.FLAGS(['main']); print(main.CACHE.value)"
    kept = {name: value for name, value in os.environ.items() if name != "XDG_CACHE_HOME"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=runs.ROOT, env=kept | environment,
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.strip() == folder


def test_two_runs_of_one_seed_give_the_same_bytes(tmp_path):
    other = tmp_path / "other"
    runs.run("configs/sft.py:smoke", other, launch=runs.PYTHON)
    ours, theirs = (
        [(r["step"], r.get("loss")) for r in read_metrics(w / METRICS_FILE, "student")]
        for w in (other, runs.finished("sft"))
    )
    assert ours == theirs and len(ours) > 2
    for name in ("summary.json", "stages/student/tokenizer/tokenizer.model"):
        ours, theirs = (other / name).read_bytes(), runs.finished("sft") / name
        assert ours == theirs.read_bytes(), name
