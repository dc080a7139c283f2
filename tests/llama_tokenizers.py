"""Small tokenisers of LLaMA's kind, in both forms that its checkpoints have them in."""

import io
import json
from collections.abc import Sequence
from pathlib import Path

import sentencepiece
import tokenizers
from tokenizers import decoders, models, normalizers, trainers

SPECIAL = ["<unk>", "<s>", "</s>"]
BYTES = [f"<0x{byte:02X}>" for byte in range(256)]


def sentencepiece_model(texts: Sequence[str], vocab_size: int = 400) -> bytes:
    """A `tokenizer.model` with LLaMA's settings: a space before every text, no pad token."""
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter("\n".join(texts).split("\n")),
        model_writer=model,
        model_type="bpe",
        vocab_size=vocab_size,
        byte_fallback=True,
        split_digits=True,
        normalization_rule_name="identity",
        add_dummy_prefix=True,
        remove_extra_whitespaces=False,
        pad_id=-1,
        hard_vocab_limit=False,
        minloglevel=2,
    )
    return model.getvalue()


def write_json(folder: Path, texts: Sequence[str], vocab_size: int) -> None:
    """A `tokenizer.json` as converted from such a model: normalised spaces, byte fallback."""
    spaces = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    learnt = tokenizers.Tokenizer(models.BPE())
    learnt.normalizer = spaces
    learnt.pre_tokenizer = tokenizers.pre_tokenizers.Digits(individual_digits=True)
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=SPECIAL + BYTES,
        limit_alphabet=60,
        show_progress=False,
    )
    learnt.train_from_iterator(texts, trainer)
    learnt.save(str(folder / "learnt.json"))
    found = json.loads((folder / "learnt.json").read_text())["model"]
    tokenizer = tokenizers.Tokenizer(
        models.BPE(
            vocab=found["vocab"],
            merges=[tuple(merge) for merge in found["merges"]],
            unk_token="<unk>",
            fuse_unk=True,
            byte_fallback=True,
        )
    )
    tokenizer.normalizer = spaces
    tokenizer.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    tokenizer.add_special_tokens(SPECIAL)
    tokenizer.save(str(folder / "tokenizer.json"))
