"""The tokeniser inside a GGUF file, rebuilt as one of the `tokenizers` library."""

from pathlib import Path

import tokenizers
from gguf import TokenType
from tokenizers import decoders, models, pre_tokenizers

from qdcjax.data.gguf_file import metadata, open_gguf
from qdcjax.data.json_tokenizer import JsonTokenizer


def load_gguf_tokenizer(path: str | Path) -> JsonTokenizer:
    """Byte-level BPE from a GGUF's tokens, merges and token types.

    Only the pre-tokeniser `smollm` is known: every digit apart, then GPT-2's pattern of words
    over bytes.

    Raises:
      FileNotFoundError, ValueError: the file is missing, damaged or of another kind.
    """
    reader = open_gguf(path)
    kind = metadata(reader, "tokenizer.ggml.model"), metadata(reader, "tokenizer.ggml.pre", "-")
    if kind != ("gpt2", "smollm"):
        raise ValueError(
            f"{path}: its tokeniser is {kind[0]}/{kind[1]}, and only gpt2/smollm is read from "
            "GGUF; give the model's tokenizer.json"
        )
    tokens = metadata(reader, "tokenizer.ggml.tokens")
    types = metadata(reader, "tokenizer.ggml.token_type")
    merges = [tuple(m.split(" ")) for m in metadata(reader, "tokenizer.ggml.merges")]
    tokenizer = tokenizers.Tokenizer(
        models.BPE(vocab={token: i for i, token in enumerate(tokens)}, merges=merges)
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(
        [
            tokenizers.AddedToken(token, special=True, normalized=False)
            for token, token_type in zip(tokens, types, strict=True)
            if token_type == TokenType.CONTROL
        ]
    )
    eos = metadata(reader, "tokenizer.ggml.eos_token_id")
    bos = metadata(reader, "tokenizer.ggml.bos_token_id", eos)
    return JsonTokenizer(
        tokenizer, bos, eos, metadata(reader, "tokenizer.ggml.padding_token_id", eos)
    )
