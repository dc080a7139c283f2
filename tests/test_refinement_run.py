"""A finished run of refinement: one question in memory, and a run that makes its reward models."""

import shutil

import numpy as np
import pytest
import runs

import qdcjax
from qdcjax.experiments.refinement import run_sorm, source_fields
from qdcjax.experiments.running import from_config
from qdcjax.experiments.sweep import changed
from qdcjax.files import read_json
from qdcjax.reasoning.refinement import BAD
from qdcjax.workdir import Workdir

pytestmark = pytest.mark.slow

CONFIG = "configs/refinement.py:smoke"


@pytest.fixture(scope="module")
def workdir():
    return runs.finished("refinement")


@pytest.fixture(scope="module")
def student(workdir):
    return qdcjax.load(workdir)


def test_a_question_in_memory_gets_what_the_run_gave_it(workdir, student):
    sorm = read_json(runs.finished("sorm") / "config.json")["config"]
    problems = from_config.task(sorm["task"], sorm["seed"]).problems("test", 24)
    tables = {kind: runs.table(workdir, f"{kind}-test") for kind in ("greedy", "global", "local")}
    values, scores = runs.table(workdir, "values-test"), runs.table(workdir, "scores-test")
    of_draft = {
        name: [v for of, v in zip(values["of"], values["values"], strict=True) if of == name]
        for name in ("sorm draft", "orm draft")
    }
    of_global = [v for of, v in zip(scores["of"], scores["values"], strict=True) if of == "global"]
    cut = {
        row["problem_id"] for of in tables.values() for row in of if row["truncated"]
    }  # had less room in the run
    seen = 0
    for n, problem in enumerate(problems):
        if problem.id in cut or seen == 4:
            continue
        seen += 1
        found = student.refine(problem.question)
        assert found.candidates["draft"] == tables["greedy"][n]["text"]
        assert found.candidates["global"] == tables["global"][n]["text"]
        mine = [row["text"] for row in tables["local"] if row["problem_id"] == problem.id]
        assert found.candidates["local"] in mine
        ends = tables["greedy"][n]["ends"]
        at_ends = np.asarray(of_draft["sorm draft"][n])[[*ends, -1]]
        np.testing.assert_allclose(found.step_values, at_ends, atol=1e-5)
        assert 0 <= found.marked <= len(ends)
        assert found.scores["draft"] == pytest.approx(of_draft["orm draft"][n][-1], abs=1e-5)
        assert found.scores["global"] == pytest.approx(of_global[n][-1], abs=1e-5)
        best = max(found.scores.values())
        assert found.scores[found.choice] == best
        assert found.solution == found.candidates[found.choice]
    assert seen


def test_wrong_uses_are_told_in_one_line(student):
    with pytest.raises(ValueError, match=r"no global_refiner beside .* configs/refinement"):
        qdcjax.load(runs.finished("sorm")).refine("How many?")
    with pytest.raises(ValueError, match=f"no room in max_length={student.config.max_length}"):
        student.refine("How many? " * 400)


def test_a_refiner_has_one_token_more_and_is_exported(workdir, student, tmp_path):
    refiner = qdcjax.load(workdir, model="local_refiner")
    assert refiner.config.vocab_size == student.config.vocab_size + 1
    refiner.export(tmp_path)
    assert read_json(tmp_path / "config.json")["vocab_size"] == refiner.config.vocab_size
    again = qdcjax.load(workdir, model="global_refiner").tokenizer
    assert again.encode(BAD) == refiner.tokenizer.encode(BAD) == [student.config.vocab_size]


def test_each_line_that_is_marked_is_refined_once(workdir):
    local, values = runs.table(workdir, "local-test"), runs.table(workdir, "values-test")
    locators = {of for of in values["of"] if of.endswith(" draft")}
    questions = len(runs.table(workdir, "greedy-test"))
    assert len(locators) == 3 and len(set(local["problem_id"])) == questions
    assert questions < len(local) < questions * (len(locators) + 1), "with the truth"


def test_a_run_makes_its_own_reward_models_where_it_is_given_none(workdir, tmp_path):
    """They are made already here, as the member `sorm` that such a run begins with."""
    ours = tmp_path / "run"
    shutil.copytree(runs.finished("sorm"), ours / "members" / "sorm")
    runs.run(CONFIG, ours)
    for name in ("summary.json", "verdicts.json"):
        assert (ours / name).read_bytes() == (workdir / name).read_bytes()
    taken, made = (
        runs.stage_times(of) for of in (ours / "members" / "sorm", runs.finished("sorm"))
    )
    assert taken.keys() == made.keys() and "members" not in {p.name for p in workdir.iterdir()}


def test_the_student_may_come_from_expert_iteration(monkeypatch, tmp_path):
    """The member `sorm` begins with the last policy of the member `experts`."""
    from configs import refinement as config_of
    from qdcjax.experiments import refinement

    config = config_of.get_config("expert_iteration").to_dict()
    ran = {}
    monkeypatch.setattr(refinement, "run_members", lambda workdir, opened: ran.update(opened))
    workdir = Workdir(tmp_path / "run", config)
    workdir.record_config({})
    folder = run_sorm(workdir.config, workdir)
    assert list(ran) == ["experts", "sorm"] and ran["sorm"].path == folder
    last = (
        ran["experts"].path / "stages" / f"round-{config['experts']['expert_iteration']['rounds']}"
    )
    assert ran["sorm"].config["checkpoint"] == str(last)
    assert ran["sorm"].config["drafts"]["calculator"]


def test_a_sweep_s_members_have_reward_models_of_their_own_seed(monkeypatch, tmp_path):
    """The seed of the run is that of the members that it begins with."""
    from configs import refinement as config_of
    from qdcjax.experiments import refinement

    config = config_of.get_config("expert_iteration").to_dict()
    seeds = {}
    for seed in (0, 7):
        monkeypatch.setattr(
            refinement,
            "run_members",
            lambda workdir, opened: seeds.update({workdir.path.name: opened}),
        )
        workdir = Workdir(tmp_path / str(seed), changed(config, {"seed": seed}))
        workdir.record_config({})
        run_sorm(workdir.config, workdir)
    for seed in (0, 7):
        assert [of.config["seed"] for of in seeds[str(seed)].values()] == [seed, seed]
    assert source_fields(config) == ["checkpoint", "seed", "experts", "sorm"]
    assert source_fields(changed(config, {"checkpoint": "runs/sorm"})) == ["checkpoint"]
