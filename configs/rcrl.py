"""Return-conditioned RL: learn labelled lines, right and wrong, then ask for good ones.

    python -m qdcjax.main --config=configs/rcrl.py

Expect, with seed 0, greedy accuracy to rise from 47 % to 64 % on test questions
(docs/rl_comparison.md).

Ask the policy for good lines in a notebook: `policy.sample(questions, calculator=True,
marker='[GOOD] ')` of `policy = qdcjax.load('runs/rcrl-default', model='learned')`.

With the policy and reward model of another run: --config.checkpoint=runs/sorm-default
--config.reward_model=orm-0 --config.rollouts.split=validation, for that reward model learned from
the first questions of the split `rewards`.
"""

from ml_collections import ConfigDict, config_dict

from configs import expert_iteration, sorm

LABELS = 64  # tokens: room for one before each line of an answer


def get_config(preset: str = "") -> ConfigDict:
    config = expert_iteration.get_config(preset)
    config.study = "rcrl"
    del config.expert_iteration
    config.reward_model = config_dict.placeholder(str)
    config.rcrl = ConfigDict({"threshold": 0.5})
    config.evaluation.max_new_tokens += LABELS
    of_orm = sorm.get_config(preset)
    config.drafts, config.reward = of_orm.drafts, of_orm.reward
    config.drafts.calculator = config.rollouts.calculator
    config.drafts.split = "validation"  # what the reward model learned from, it does not label
    for field in ("seeds", "threshold"):
        del config.reward[field]
    if not preset:  # minutes on two CPU cores; the labels and longer lines take time to learn
        config.drafts.questions, config.reward.steps = 500, 200
        config.rollouts.questions, config.finetune.steps = 600, 500
    config.predictions = ConfigDict(
        {
            "gain": {
                "claim": "learning with labels raises greedy accuracy on test questions",
                "threshold": 0.0,
            },
            "asked": {
                "claim": "lines that are asked to be good lead to right answers more often than "
                "lines that are asked to be bad",
                "threshold": 0.0,
            },
        }
    )
    return config
