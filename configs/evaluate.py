"""Evaluates any policy on a task, and reranks its samples with a stored reward model.

    python -m qdcjax.main --config=configs/evaluate.py --config.checkpoint=runs/sorm-default \\
        --config.model=student --config.reward_model=orm-0

`checkpoint` is a run's folder, whose stage `model` is meant; a stage's own folder; or a pretrained
model as `policy.pretrained` takes it: a Hugging Face folder or hub id, a GGUF file, `smollm2`.
Policies of reinforcement learning were trained with --config.evaluation.calculator, and those of
return-conditioned RL (--config.checkpoint=runs/rcrl-default --config.model=learned) are asked with
--config.evaluation.marker='[GOOD] '.

`reward_model` is a stage of the run, a stage's own folder, or `own`: one that is made here from the
policy's solutions of `drafts`.

Expect, with seed 0: the student's own figures in docs/sorm.md, and rerank@8 below one sample.
"""

from ml_collections import ConfigDict, config_dict

from configs import sft, sorm


def get_config(preset: str = "") -> ConfigDict:
    defaults = sft.get_config(preset)
    config = ConfigDict()
    config.study = "evaluate"
    config.preset = preset
    config.seed = 0
    config.checkpoint = f"runs/sorm-{preset or 'default'}"
    config.model = "student"
    config.reward_model = config_dict.placeholder(str)
    config.policy = ConfigDict(
        {field: defaults.policy[field] for field in ("max_length", "dtype")}
    )  # of pretrained files; a stage says how it was trained
    config.mesh = defaults.mesh
    config.task = defaults.task
    config.evaluation = defaults.evaluation
    config.evaluation.marker = ""
    of_orm = sorm.get_config(preset)
    config.drafts, config.reward = of_orm.drafts, of_orm.reward
    for field in ("seeds", "threshold"):
        del config.reward[field]
    return config
