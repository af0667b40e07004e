"""Names and words of the command line stay in their folders and away from a shell."""

import io
import os
from contextlib import chdir, redirect_stderr

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st
from support import params

from vct.lab import cli
from vct.lab.errors import UserError
from vct.lab.files.layout import NAME, RunId
from vct.lab.settings import reading

NASTY = ["..", "../..", "a/b", "/", "-x", "--fresh", "a b", "a;b", "a'b", 'a"b', "$(ls)", "`ls`"]
NASTY += ["a\nb", "a\0b", "", ".", "~", "é", "Ⅷ", "a\u202eb", "x" * 300, "\ud800", "a|b", "*"]
WORDS = st.one_of(
    st.sampled_from(NASTY),
    st.text(max_size=8),
    st.lists(st.sampled_from([*NASTY[:9], "small", "ot", "seed0", "seed٣", "cpu"]), max_size=4).map(
        "/".join
    ),
)


@given(WORDS)
@settings(max_examples=200, deadline=None, derandomize=True)
@example("small/ot/seed0\n")
@example("small/ot/seed٣")
@example("small/ot/seed00")
def test_a_run_is_a_folder_below_results_or_refused(text):
    try:
        run = RunId.parse(text)
    except UserError as error:
        assert str(error).isprintable()
        assert len(str(error)) < 300
        return
    assert str(run) == text
    folder = os.path.normpath(run.directory)
    assert folder == f"results/{text}"
    assert all(NAME.fullmatch(part) for part in text.split("/"))


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    folder = tmp_path_factory.mktemp("here")
    (folder / "params.yaml").write_text(yaml.safe_dump(params()))
    return folder


STAGES = ["data", "extractor", "train", "sample", "score", "floor", "table", "figures", "dvc"]
STAGES += ["record", "adopt", "track scores", "track sync"]


@given(stage=st.sampled_from(STAGES), word=WORDS.filter(lambda word: word != "cpu"))
@settings(max_examples=60, deadline=None, derandomize=True)
@example(stage="record", word="..")
@example(stage="adopt", word="../x")
def test_any_word_ends_a_command_in_one_sentence(here, stage, word):
    err = io.StringIO()
    with chdir(here), redirect_stderr(err):
        try:
            code = cli.main([*stage.split(), "--", word])
        except SystemExit as stop:  # the parser's own refusal
            code = stop.code
    assert code == 2, err.getvalue()
    assert "error: " in err.getvalue()
    left = {str(path.relative_to(here)) for path in here.rglob("*") if path.is_file()}
    assert left == {"params.yaml"}


@pytest.mark.parametrize("family", ["datasets", "extractors", "experiments", "suites"])
def test_names_that_differ_in_case_alone_are_refused(family):
    content = params()
    first = next(iter(content[family]))
    content[family][first.upper()] = content[family][first]
    with pytest.raises(UserError, match=f"{family}.{first.upper()}: .*in case alone"):
        reading.validate(content)


@pytest.mark.parametrize(
    ("family", "name"),
    [("suites", "data"), ("suites", "Floor"), ("experiments", "table"), ("experiments", "scores")],
)
def test_names_of_our_own_folders_are_taken(family, name):
    content = params()
    content[family][name] = next(iter(content[family].values()))
    with pytest.raises(UserError, match=f"{family}.{name}: the name is taken"):
        reading.validate(content)


@given(st.text(max_size=12))
@settings(max_examples=200, deadline=None, derandomize=True)
def test_a_message_is_one_printable_line(text):
    message = str(UserError(f"x{text}y"))
    assert message.isprintable()
    if text.isprintable():
        assert message == f"x{text}y"
