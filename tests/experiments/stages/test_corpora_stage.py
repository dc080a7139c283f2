"""Corpora as tokens: rows of equal length, held-out documents, what is too small."""

import numpy as np
import pytest

from qdcjax.experiments.stages.corpora import corpus_of, read_corpus, rows_of
from qdcjax.tasks.corpora import DataSet, Files, Problems
from qdcjax.workdir import Workdir


def test_rows_are_the_stream_cut_up(tokenizer):
    rows = rows_of([[10, 11, 12], [13], [14, 15, 16, 17]], tokenizer, 4)
    bos, eos = tokenizer.bos_id, tokenizer.eos_id
    stream = [bos, 10, 11, 12, eos, bos, 13, eos, bos, 14, 15, 16]
    assert rows["tokens"].ravel().tolist() == stream
    # Nothing predicts a row's first token, nor a begin token.
    assert rows["mask"].tolist() == [[0, 1, 1, 1], [0, 0, 1, 1], [0, 1, 1, 1]]
    first = rows_of([[10, 11, 12], [13], [14, 15, 16, 17]], tokenizer, 4, count=2)
    np.testing.assert_array_equal(first["tokens"], rows["tokens"][:2])


@pytest.fixture
def config(tmp_path):
    for number in range(40):
        (tmp_path / f"{number}.txt").write_text(f"boxes of eggs {number} " * 5)
    corpora = {"eggs": {"kind": "files", "source": str(tmp_path)}}
    language = {"sizes": (9,), "held_out": 9}
    return {"study": "toy", "corpora": corpora, "tokenizer": {}, "language": language}


def test_every_tenth_document_is_held_out(config, tokenizer, tmp_path):
    workdir = Workdir(tmp_path / "run", config)
    workdir.stage("tokenizer", [], [], lambda folder: None)
    found = read_corpus(config, workdir, "eggs", tokenizer, 200, 60)
    texts = Files(str(tmp_path)).documents()
    encoded = tokenizer.encode_many(texts)
    for side, asked in ((found.held_out, 60), (found.train, 200)):
        sizes = [len(ids) + 2 for ids in side]
        assert sum(sizes) >= asked > sum(sizes[:-1]), "no more than is needed"
    assert (
        found.held_out
        == [ids for n, ids in enumerate(encoded) if n % 10 == 0][: len(found.held_out)]
    )
    assert found.train == [ids for n, ids in enumerate(encoded) if n % 10][: len(found.train)]


@pytest.mark.parametrize(
    ("tokens", "held_out", "words"),
    [
        (10**6, 9, r"corpora.eggs: [\d,]+ tokens for training, and 1,000,000 are needed"),
        (9, 10**6, r"corpora.eggs: [\d,]+ tokens for being held out, and 1,000,000 are needed"),
    ],
)
def test_a_corpus_that_is_too_small_is_told(config, tokenizer, tmp_path, tokens, held_out, words):
    workdir = Workdir(tmp_path / "run", config)
    workdir.stage("tokenizer", [], [], lambda folder: None)
    with pytest.raises(ValueError, match=words):
        read_corpus(config, workdir, "eggs", tokenizer, tokens, held_out)


def test_a_kind_is_files_a_data_set_or_a_task():
    assert corpus_of({"kind": "files", "source": "x"}, "a", 0) == Files("x")
    given = {"kind": "data_set", "source": "x/y", "field": "content", "suffixes": ()}
    assert corpus_of(given, "a", 0) == DataSet("x/y", "content")
    generated = corpus_of({"kind": "traced_integers", "operation": "mul", "each": 2}, "a", 0)
    assert isinstance(generated, Problems) and generated.task.operation == "mul"
    with pytest.raises(
        ValueError, match=r"corpora.a.kind='web' must be one of standard_library, files"
    ):
        corpus_of({"kind": "web"}, "a", 0)
    with pytest.raises(ValueError, match=r"corpora.a.folder is no field of kind=files"):
        corpus_of({"kind": "files", "folder": "x"}, "a", 0)
    with pytest.raises(ValueError, match=r"corpora.a.source must name what kind=files reads"):
        corpus_of({"kind": "files"}, "a", 0)
