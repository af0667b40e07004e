"""The report of a suite: what stands on it, and that equal files give equal bytes."""

import base64
import math
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest
from report_suite import picture, suite_params

from vct.lab import cli
from vct.lab.errors import UserError
from vct.lab.report import page, style
from vct.lab.report.recipes import Times
from vct.lab.settings import reading

TIMES = Times("2026-11-28 09:20:00", "0:02:11", "c0ffee" * 6)


def write(suite="told", finished=False, timed=lambda *_: TIMES, **changes):
    """The text of a page."""
    path = page.write_page(suite_params(**changes), suite, finished, timed)
    return path.read_text(encoding="utf-8")


def words(html):
    """What a reader sees, on one line."""
    text = re.sub(r"<style>.*?</style>|<[^>]+>", " ", html, flags=re.DOTALL)
    return " ".join(text.replace("&#39;", "'").replace("&nbsp;", " ").split())


class Tags(HTMLParser):
    """All tags with their attributes; refuses what is not closed, or closed twice."""

    VOID = ("meta", "img", "br", "hr", "link", "input")

    def __init__(self, html):
        super().__init__()
        self.open, self.found = [], []
        self.feed(html)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_story_stands_in_order(project):
    picture("told/digits_small-samples.png")
    html = write()
    headings = re.findall(r"<h2>(.*?)</h2>", html)
    assert headings == [
        "What was run",
        "Scores",
        "What differs, and whether it is more than noise",
        "Figures",
        "How to reproduce each number",
        "Environment",
    ]
    targets = [attrs["href"] for tag, attrs in Tags(html).found if tag == "a"]
    ids = {f"#{attrs['id']}" for _, attrs in Tags(html).found if "id" in attrs}
    assert targets and set(targets) == ids


def test_nothing_is_asked_of_the_network_and_no_script_runs(project):
    picture("told/digits_small-curves.png")
    html = write()
    tags = Tags(html).found
    assert not [tag for tag, _ in tags if tag in ("script", "link", "iframe", "object")]
    loaded = [
        attrs[key] for _, attrs in tags for key in ("src", "srcset", "poster") if key in attrs
    ]
    assert loaded and all(uri.startswith("data:image/png;base64,") for uri in loaded)
    assert not re.search(r"url\(|@import|http", html.replace("http-equiv", ""))
    policy = next(a["content"] for tag, a in tags if a.get("http-equiv"))
    assert "default-src 'none'" in policy


def test_what_was_run(project):
    text = words(write())
    assert "11 of 11 runs are finished, in 2 experiments on images" in text
    assert "independent, minibatch OT, variational" in text
    assert "images: 1,297 images of 8 px" in text and "20 steps of 8" in text and "0 to 2" in text


def test_scores_are_those_of_the_table(project):
    """FID_ot is 40, 42, 44: 42 ± 2."""
    html = write()
    row = re.search(r"<tr><th scope=\"row\"><span[^\n]*>minibatch OT<.*?</tr>", html)[0]
    assert words(row) == "minibatch OT 3 42.0 ± 2.0 40.0 ± 10.0 –"
    assert "held-out real data (500)" in html and 'class="best"' not in html


def test_couplings_have_the_colours_of_the_figures(project):
    html = write()
    for coupling, label in (("independent", "independent"), ("ot", "minibatch OT")):
        colour = style.coupling_colours([coupling])[coupling]
        assert f'style="--of:{colour}">{label}<' in html


def test_comparisons_say_in_words_what_is_shown(project):
    """Three seeds: no p below 1/4."""
    text = words(write())
    assert "None of 6 comparisons that the suite declares shows more than noise" in text
    assert "With 3 seeds no p can fall below 0.25" in text
    assert "minibatch OT against independent noise: nothing is shown (" in text
    assert "minibatch OT against independent noise" in text.split("Not two seeds of both rows")[1]


def test_a_suite_without_an_endpoint_tests_nothing(project):
    text = words(write("plain"))
    assert "declares no endpoint, so nothing is tested" in text
    assert "Student" not in text and "Nothing is bold" in text


def test_pictures_are_whole_and_have_their_layout_as_size(project):
    path = picture("told/digits_small-curves.png", 64, 40)
    (image,) = (attrs for tag, attrs in Tags(write()).found if tag == "img")
    assert (image["width"], image["height"]) == ("64", "40")
    assert base64.b64decode(image["src"].partition(",")[2]) == path.read_bytes()
    assert "minibatch OT 42" in image["alt"] and "1 step" in image["alt"]


def test_a_page_needs_no_pictures(project):
    html = write()
    assert "<img" not in html and "#figures" not in html


def test_a_damaged_picture_is_named(project):
    path = picture("told/digits_small-curves.png")
    path.write_bytes(b"no picture")
    with pytest.raises(UserError, match=r"digits_small-curves\.png is damaged"):
        write()
    assert not Path("results/told/report.html").exists()


def test_each_number_has_its_run_with_settings_hashes_and_times(project):
    html = write()
    text = words(html)
    assert "snakemake --cores all results/digits_small/ot/seed{0,1,2}/metrics.json" in text
    assert "vct train digits_small/independent/seed0" in text
    assert "dataset: digits" in text and "kind: ot" in text
    for value in ("40", "42", "44"):
        assert f"<td>{value}</td>" in html
    assert TIMES.trained in text and TIMES.took in text and TIMES.commit in text
    assert html.count(f'title="{"ef" * 32}"') == 11  # the data of each run
    assert "sha256 " + "ab" * 32 in text


def test_without_times_the_page_says_where_they_are(project):
    text = words(write(timed=lambda *_: Times()))
    assert "Times stay on the machine that trained" in text and "trained until" not in text


def test_equal_files_give_equal_bytes(project):
    picture("told/digits_small-samples.png")
    assert write() == write()


def test_runs_that_are_missing_are_left_out_if_asked(project):
    for path in Path("results/digits_small/variational/seed2").iterdir():
        path.unlink()
    with pytest.raises(UserError, match=r"variational/seed2.*missing"):
        write()
    assert "10 of 11 runs are finished" in words(write(finished=True))


def test_a_suite_without_runs_is_refused(project):
    shutil.rmtree("results/mixture")
    with pytest.raises(UserError, match="no finished run"):
        write("plain", finished=True)
    assert not Path("results/plain").exists()


def test_names_cannot_become_markup(project, monkeypatch):
    monkeypatch.setattr(page.overview, "paragraph", lambda *_: "<script>alert(1)</script>")
    assert "<script" not in write()


def test_the_command_names_an_unknown_suite(project, capsys, monkeypatch):
    monkeypatch.setattr(reading, "load", suite_params)
    assert cli.main(["report", "tolt"]) == 2
    err = capsys.readouterr().err
    assert "did you mean told" in err and err.count("\n") == 1
    assert cli.main(["report", "told"]) == 0
    assert Path("results/told/report.html").is_file()


def test_diagnostics_stand_there_where_some_were_measured(project, digits, monkeypatch):
    """Of what was not drawn or not measured, nothing stands there."""
    columns = ["experiment", "dataset", "coupling", "seed", "name", "t", "value"]
    of_ot = ("digits_small", "digits", "ot")
    measured = [(*of_ot, seed, "transport_share", math.nan, seed + 0.5) for seed in (0, 1)]
    found = pd.DataFrame(measured, columns=columns)
    monkeypatch.setattr(page.explanation, "read", lambda *_: ([digits], found))
    html = write()
    assert 'href="#diagnostics"' in html
    section = words(html[html.index('<section id="diagnostics">') :])
    assert section.startswith("Diagnostics Pairs and noise Transport cost: what is left")
    assert "digits_small transport cost minibatch OT 1 ± 0.71 (2) How to" in section
    assert "<img" not in html

    picture("told/gains.png")
    monkeypatch.setattr(page.explanation, "read", lambda *_: ([], found[:0]))
    html = write()
    assert "Gain on independent noise in per cent" in html and "Transport cost" not in html
