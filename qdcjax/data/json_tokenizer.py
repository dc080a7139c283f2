"""A `tokenizer.json` of the `tokenizers` library, as pretrained models carry it."""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import tokenizers
from tokenizers import decoders

FILE_NAME = "tokenizer.json"
NAME_FILES = ("tokenizer_config.json", "special_tokens_map.json")
# Where no file beside tokenizer.json tells: names that models commonly give to these tokens.
COMMON_NAMES = {
    "bos": ("<s>", "<bos>", "<|begin_of_text|>", "<|im_start|>", "<|endoftext|>"),
    "eos": ("</s>", "<eos>", "<|end_of_text|>", "<|im_end|>", "<|endoftext|>"),
    "pad": ("<pad>", "[PAD]", "<|pad|>"),
}


class JsonTokenizer:
    """A `tokenizers.Tokenizer` behind the `Tokenizer` protocol.

    Control symbols in a text, such as `<|endoftext|>`, are encoded as the characters they are:
    a question cannot end a sequence. With a byte-level vocabulary the round trip is exact.
    """

    def __init__(self, tokenizer: tokenizers.Tokenizer, bos_id: int, eos_id: int, pad_id: int):
        """Takes the library's tokeniser and the ids of its special tokens."""
        # Some files (sentence encoders') cut or pad every text.
        tokenizer.no_truncation()
        tokenizer.no_padding()
        tokenizer.encode_special_tokens = True  # "encode as text": no control ids from text
        self._tokenizer = tokenizer
        self.vocab_size = 1 + max(tokenizer.get_vocab(with_added_tokens=True).values())
        self.bos_id, self.eos_id, self.pad_id = bos_id, eos_id, pad_id
        self._skipped = frozenset((bos_id, eos_id, pad_id))
        self._unknown_bytes = _unknown_bytes(tokenizer)

    def encode(self, text: str) -> list[int]:
        """Ids of a text; no begin or end token is added, and no text becomes one.

        Raises:
          ValueError: the text has a byte that a byte-level vocabulary lacks; the library would
            drop it silently.
        """
        return self.encode_many([text])[0]

    def encode_many(self, texts: Sequence[str]) -> list[list[int]]:
        """`encode` of each text, on all cores."""
        if self._unknown_bytes is not None:
            for text in texts:
                self._refuse_unknown(text)
        encodings = self._tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
        return [encoding.ids for encoding in encodings]

    def decode(self, ids: Sequence[int]) -> str:
        """The text of ids, without begin, end and padding; other control tokens by name."""
        kept = [int(i) for i in ids if int(i) not in self._skipped]
        return self._tokenizer.decode(kept, skip_special_tokens=False)

    def with_token(self, text: str) -> "JsonTokenizer":
        """The same tokeniser with one more added token."""
        if self._tokenizer.token_to_id(text) is not None:
            return self
        grown = tokenizers.Tokenizer.from_str(self._tokenizer.to_str())
        grown.add_tokens([tokenizers.AddedToken(text, special=False, normalized=False)])
        return JsonTokenizer(grown, self.bos_id, self.eos_id, self.pad_id)

    def save(self, folder: str | Path) -> None:
        """Writes `tokenizer.json`, and `tokenizer_config.json` with the special tokens' names."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        self._tokenizer.save(str(folder / FILE_NAME))
        names = {
            f"{role}_token": self._tokenizer.id_to_token(token_id)
            for role, token_id in (("bos", self.bos_id), ("eos", self.eos_id), ("pad", self.pad_id))
        }
        config = {"tokenizer_class": "PreTrainedTokenizerFast"} | names
        (folder / NAME_FILES[0]).write_text(json.dumps(config, indent=2) + "\n")

    def __reduce__(self):
        # The library's own pickling forgets encode_special_tokens.
        return JsonTokenizer, (self._tokenizer, self.bos_id, self.eos_id, self.pad_id)

    def _refuse_unknown(self, text: str) -> None:
        found = self._unknown_bytes.search(text.encode())
        if found:
            where = len(text.encode()[: found.start()].decode(errors="ignore"))
            raise ValueError(
                f"the tokeniser's vocabulary has no byte 0x{found[0][0]:02X}, which "
                f"{text[where]!r} at character {where} of a text needs: remove the character"
            )


def load_json_tokenizer(path: Path) -> JsonTokenizer:
    """Reads a `tokenizer.json` with the names of special tokens from the files beside it.

    Raises:
      ValueError: the file is not one that `tokenizers` reads, one beside it is damaged, or no end
        token is to be found.
    """
    try:
        tokenizer = tokenizers.Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises nothing more special
        raise ValueError(
            f"{path}: not a tokenizer.json that `tokenizers` reads: {error}"
        ) from error
    ids = _special_ids(tokenizer, path.parent)
    eos = ids["eos"]
    if eos is None:
        raise ValueError(
            f"{path}: no end token found; name it as eos_token in a {NAME_FILES[0]} beside it"
        )
    bos, pad = (eos if ids[role] is None else ids[role] for role in ("bos", "pad"))
    return JsonTokenizer(tokenizer, bos, eos, pad)


def _special_ids(tokenizer: tokenizers.Tokenizer, folder: Path) -> dict[str, int | None]:
    """Ids of the bos, eos and pad tokens; None where neither the files nor a common name tell."""
    named: dict[str, str] = {}
    for file in (folder / name for name in NAME_FILES):
        if file.is_file():
            named = _names(_read_object(file)) | named
    special = {t.content for t in tokenizer.get_added_tokens_decoder().values() if t.special}
    ids = {}
    for role, common in COMMON_NAMES.items():
        name = named.get(role) or next((n for n in common if n in special), None)
        ids[role] = None if name is None else tokenizer.token_to_id(name)
    return ids


def _read_object(file: Path) -> Mapping:
    try:
        return dict(json.loads(file.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:  # also of bytes that are no UTF-8
        raise ValueError(f"{file}: no JSON object, perhaps cut short ({error})") from error


def _names(config: Mapping) -> dict[str, str]:
    """Token names by role; a name is written plainly or as `{"content": name, …}`."""
    tokens = {role: config.get(f"{role}_token") for role in COMMON_NAMES}
    return {
        role: token["content"] if isinstance(token, Mapping) else token
        for role, token in tokens.items()
        if token is not None
    }


def _unknown_bytes(tokenizer: tokenizers.Tokenizer) -> re.Pattern[bytes] | None:
    """Matches the bytes that a byte-level vocabulary has no token for; None if it has all."""
    if not isinstance(tokenizer.decoder, decoders.ByteLevel):
        return None
    # GPT-2's spelling of bytes: printable Latin-1 characters as themselves, the others from
    # U+0100 on, in order.
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = [b for b in range(256) if b not in printable]
    spelling = {b: chr(b) for b in printable} | {b: chr(256 + i) for i, b in enumerate(others)}
    missing = bytes(b for b in range(256) if tokenizer.token_to_id(spelling[b]) is None)
    # Bytes that UTF-8 never uses are no loss.
    missing = missing.translate(None, b"\xc0\xc1" + bytes(range(0xF5, 0x100)))
    return re.compile(b"[" + re.escape(missing) + b"]") if missing else None
