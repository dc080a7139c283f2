"""Evaluates a stored policy on a task, and reranks with a stored reward model.

    python -m qdcjax.main --config=configs/evaluate.py --config.checkpoint=runs/sorm-default \\
        --config.model=student --config.reward_model=orm-0

Expect, with seed 0: the student's own figures in RESULTS.md, and rerank@8 below one sample.
"""

from ml_collections import ConfigDict, config_dict

from configs import sft


def get_config(preset: str = "") -> ConfigDict:
    defaults = sft.get_config(preset)
    config = ConfigDict()
    config.study = "evaluate"
    config.preset = preset
    config.seed = 0
    config.checkpoint = "runs/sorm-default"
    config.model = "student"
    config.reward_model = config_dict.placeholder(str)
    config.mesh = defaults.mesh
    config.task = defaults.task
    config.evaluation = defaults.evaluation
    return config
