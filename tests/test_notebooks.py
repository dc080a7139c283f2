"""Notebooks run to their end on a run that was made on eight devices."""

import ast

import nbclient
import nbformat
import pytest
import runs

NOTEBOOK = runs.ROOT / "notebooks" / "reload.ipynb"
DEFAULT = "../runs/sorm-default"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    """A run whose models were trained on eight fake devices, cut in all three ways."""
    workdir = tmp_path_factory.mktemp("eight") / "run"
    mesh = ("--config.mesh.data=2", "--config.mesh.fsdp=2", "--config.mesh.tensor=2")
    short = ("--config.reward.seeds=(0,)", "--config.evaluation.splits=('test',)")
    short += ("--config.evaluation.questions=8", "--config.drafts.questions=8")
    short += ("--config.sft.steps=75", "--config.verify_many.prefixes=8")
    runs.run("configs/sorm.py:smoke", workdir, *mesh, *short, devices=8)  # fits eight only
    return workdir


def test_reload(workdir):
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert len(ast.parse(code[0].source).body) <= 5, "at most five lines to samples and values"
    assert DEFAULT in code[0].source and not any(cell.outputs for cell in code)
    code[0].source = code[0].source.replace(DEFAULT, str(workdir))
    notebook.cells.append(nbformat.v4.new_code_cell("len(jax.devices())"))
    nbclient.NotebookClient(
        notebook, timeout=300, resources={"metadata": {"path": runs.ROOT}}
    ).execute()
    lines = printed(code[1]).splitlines()
    assert lines and all(0 <= float(line.split()[0]) <= 1 for line in lines)
    assert value(code[2]).count("'") >= 2 * 4
    assert value(notebook.cells[-1]) == "1"


def printed(cell) -> str:
    """What a cell printed, less the progress that a slow machine sees on stderr."""
    return "".join(output.text for output in cell.outputs if output.get("name") == "stdout")


def value(cell) -> str:
    """What a cell's last expression was."""
    (result,) = (of for of in cell.outputs if of.output_type == "execute_result")
    return result.data["text/plain"]
