"""Expert iteration, PPO, RLOO, GRPO and return-conditioned RL, compared (arXiv 2403.04642).

For each seed a language model is pretrained and fine-tuned, lightly and long; algorithms begin at
these starting points as the plan says, with as many rollouts, of questions from one sequence. Every
one of these runs is a member: a whole run of its own study, in its own folder.
"""

import copy
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from qdcjax.experiments.findings.rl_comparison import PRETRAINED, Comparison
from qdcjax.experiments.findings.rl_comparison_runs import (
    GREEDY,
    START,
    answers_table,
    read_run,
    table_of,
)
from qdcjax.experiments.reports import rl_comparison as rl_comparison_report
from qdcjax.experiments.running import from_config, publish
from qdcjax.experiments.running.members import Member, folder_of, open_members, run_members
from qdcjax.measures.predictions import judge
from qdcjax.workdir import Workdir

RERANKED = "-reranked"


def run(config: Mapping[str, Any], workdir: Workdir) -> dict[str, float]:
    """All members, and what they say of the predictions."""
    check(config)
    members = list(members_of(config, workdir.path))
    for member in members:
        from_config.check(member.config)
    predictions = from_config.predictions(config["predictions"])
    publish.fix_predictions(workdir)
    opened = open_members(workdir, members)
    summaries = run_members(workdir, opened, {member.name: member.after for member in members})

    kinds = {member_name(*kind): kind for kind in kinds_of(config)}
    runs = [read_run(kind, opened[name], summaries[name]) for name, kind in kinds.items()]
    most = runs[0].workdir.config["evaluation"]["samples"]
    comparison = Comparison(runs, config["main_start"], sizes_of(config), most)
    reranked = {
        policy: [summaries[reranked_name(config, policy, seed)] for seed in config["seeds"]]
        for policy in reranked_policies(config)
    }
    statistics = comparison.statistics([reranked[policy] for policy in config["reranked"]])
    verdicts = [judge(prediction, statistics[name]) for name, prediction in predictions.items()]
    results = table_of(runs, (GREEDY, f"maj_at_{most}", f"pass_at_{most}")) | statistics
    results |= answers_table(reranked, most, config["evaluation"]["splits"][0])
    return publish.publish(
        workdir,
        lambda: rl_comparison_report.report(workdir, comparison, list(reranked), results, verdicts),
        publish.flat(results),
        verdicts,
    )


def check(config: Mapping[str, Any]) -> None:
    """Raises ValueError for a plan that names what is not there, before any member runs."""
    plan, starts = config["plan"], (PRETRAINED, *config["fine_tune"])
    asked = {"plan": (plan, config["pretrain"]["sizes"])}
    for size, of_size in plan.items():
        asked[f"plan.{size}"] = of_size, starts
        for start, algorithms in of_size.items():
            asked[f"plan.{size}.{start}"] = algorithms, config["algorithms"]
    of_size = plan.get(config["main_size"], {})
    asked["main_size"] = [config["main_size"]], plan
    asked["main_start"] = [config["main_start"]], of_size
    asked["reranked"] = config["reranked"], of_size.get(config["main_start"], ())
    for field, (names, known) in asked.items():
        for name in names:
            if name not in known:
                raise ValueError(f"{field}: {name} is none of {', '.join(known) or 'none'}")


def sizes_of(config: Mapping[str, Any]) -> list[str]:
    """The sizes of the plan, the main one first."""
    return sorted(config["plan"], key=lambda size: size != config["main_size"])


def kinds_of(config: Mapping[str, Any]) -> Iterator[tuple[str, str, str, int]]:
    """Size, start, algorithm and seed of every run of an algorithm, in a reader's order."""
    for seed in config["seeds"]:
        for size in sizes_of(config):
            starts = config["plan"][size]
            for start in sorted(starts, key=lambda start: start != PRETRAINED):
                for algorithm in starts[start]:
                    yield size, start, algorithm, seed


def member_name(size: str, start: str, algorithm: str, seed: int) -> str:
    """The member that runs an algorithm."""
    return f"{size}-{start}-{algorithm}-{seed}"


def reranked_policies(config: Mapping[str, Any]) -> tuple[str, ...]:
    """`start` and the algorithms whose policies have reward models of their own, if any have."""
    return (START, *config["reranked"]) if config["reranked"] else ()


def reranked_name(config: Mapping[str, Any], policy: str, seed: int) -> str:
    """The member that gives a policy of the main start a reward model."""
    main = config["main_size"], config["main_start"]
    return f"{member_name(*main, policy, seed)}{RERANKED}"


def members_of(config: Mapping[str, Any], path: Path) -> Iterator[Member]:
    """Every run of the comparison, each after those that it goes on from.

    Args:
      config: of the comparison.
      path: its folder.
    """
    for seed in config["seeds"]:
        pretrained = start_name("", PRETRAINED, seed)
        yield Member(pretrained, made(config["pretrain"], seed))
        for size, starts in config["plan"].items():
            for start in starts:
                if start != PRETRAINED:
                    base = folder_of(path, pretrained) / starting_stage(size, PRETRAINED)
                    tuned = made(config["fine_tune"][start], seed)
                    tuned["policy"]["pretrained"] = str(base)
                    yield Member(start_name(size, start, seed), tuned, (pretrained,))
    for size, start, algorithm, seed in kinds_of(config):
        before, stage = start_name(size, start, seed), starting_stage(size, start)
        learner = made(config["algorithms"][algorithm], seed, folder_of(path, before) / stage)
        yield Member(member_name(size, start, algorithm, seed), learner, (before,))
    main = config["main_size"], config["main_start"]
    for policy in reranked_policies(config):
        for seed in config["seeds"]:
            if policy == START:
                before, stage = start_name(*main, seed), starting_stage(*main)
            else:
                before = member_name(*main, policy, seed)
                stage = last_policy(config["algorithms"][policy])
            reranker = made(config["rerank"], seed, folder_of(path, before) / stage)
            yield Member(reranked_name(config, policy, seed), reranker, (before,))


def start_name(size: str, start: str, seed: int) -> str:
    """The member that makes a policy to begin with; one run pretrains all sizes."""
    return f"{PRETRAINED}-{seed}" if start == PRETRAINED else f"{size}-{start}-{seed}"


def starting_stage(size: str, start: str) -> str:
    """Where that policy lies in its member's folder."""
    return f"stages/{size if start == PRETRAINED else 'student'}"


def made(config: Mapping[str, Any], seed: int, policy: Path | None = None) -> dict[str, Any]:
    """A member's config: that of its study, with its seed and the policy that it begins with."""
    found = copy.deepcopy(dict(config)) | {"seed": seed}
    return found | ({"checkpoint": str(policy)} if policy else {})


def last_policy(config: Mapping[str, Any]) -> str:
    """Where a study of reinforcement learning leaves its policy, in its folder."""
    if config["study"] == "expert_iteration":
        return f"stages/round-{config['expert_iteration']['rounds']}"
    return "stages/learned"
