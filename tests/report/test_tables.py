"""Tables against the evaluation functions, and their forms."""

import re
import shutil
import subprocess

import numpy as np
import pandas as pd
import pytest

from emofuse.metrics import scores as metrics
from emofuse.report import tables
from emofuse.report.results import results_of
from emofuse.report.table import Cell, Table, number, spread
from emofuse.study.folder import read_study


@pytest.fixture(scope="module")
def results(whole_study):
    return results_of(read_study(whole_study), resamples=400)


def test_values_are_those_of_the_metrics(results):
    data = tables.paper_table(results, "audio_only").data
    for result in results:
        for system, seeds in result.task.answers.items():
            for metric in set(tables.IN_PAPER) & set(result.outcomes):
                if result.dimension is None:
                    answers = [t[[f"probability_{k}" for k in range(4)]].to_numpy().argmax(axis=1) for t in seeds]
                    scores = [getattr(metrics, metric)(t["truth"], a) for t, a in zip(seeds, answers, strict=True)]
                else:
                    scores = [metrics.ccc(t[f"true_{result.dimension}"], t[result.dimension]) for t in seeds]
                rows = data[(data["result"] == result.title) & (data["system"] == system) & (data["metric"] == metric)]
                assert rows["value"].tolist() == pytest.approx([np.mean(scores)])
                assert (rows["low"] <= rows["value"]).all() and (rows["value"] <= rows["high"]).all()


def test_best_is_bold_and_differences_are_marked(results):
    table = tables.paper_table(results, "audio_only")
    uar = [name for _, name in table.columns].index("UAR")
    cells = {row[0].text: row[uar] for row in table.rows}
    assert [name for name, cell in cells.items() if cell.best] == ["multistage"]
    assert cells["multistage"].mark == "†" and cells["late"].mark == cells["audio_only"].mark == ""
    seen_from_best = tables.paper_table(results, "multistage")
    assert {row[0].text: row[uar].mark for row in seen_from_best.rows} == {
        "audio_only": "‡",
        "text_only": "‡",
        "late": "‡",
        "multistage": "",
    }


def test_of_many_results_the_page_has_the_headlines(results, monkeypatch):
    whole = tables.paper_table(results, "audio_only")
    assert [name for _, name in whole.columns[1:4]] == ["UAR", "WA", "macro F1"] and len(whole.columns) == 7
    monkeypatch.setattr(tables, "MOST_COLUMNS", 5)
    short = tables.paper_table(results, "audio_only")
    assert [name for _, name in short.columns[1:]] == ["UAR", "CCC arousal", "CCC valence", "CCC dominance"]
    pd.testing.assert_frame_equal(short.data, whole.data)


def test_long_tables_are_folded_and_notes_stand_in_files(results):
    row = [Cell("a")]
    short, long = (Table("x", "Of.", [("", "x")], [row] * n, pd.DataFrame(), "For all.") for n in (20, 21))
    assert "<details>" not in short.to_html() and "<summary>21 rows</summary>" in long.to_html()
    assert "For all." not in long.to_html()
    assert "Of. For all." in long.to_markdown() and r"\caption{Of. For all.}" in long.to_latex()


def test_equal_values_are_both_bold(make_study):
    results = results_of(read_study(make_study(systems={"audio_only": 0.5, "late": 0.5})), resamples=50)
    assert [row[1].best for row in tables.paper_table(results, "audio_only").rows] == [True, True]


def test_lower_is_better_where_it_is(results):
    table = tables.metrics_table(results[1])
    mae = [name for _, name in table.columns].index("MAE")
    assert [row[0].text for row in table.rows if row[mae].best] == ["multistage"]


def test_comparisons_tell_who_is_better(results):
    data = tables.comparisons_table(results[0]).data.set_index(["system", "against"])
    assert data.loc[("audio_only", "multistage"), "better"] == "multistage"
    assert data.loc[("audio_only", "late"), "better"] == "" and data.loc[("audio_only", "late"), "p_holm"] == 1


def test_changes_count_every_answer_once(results):
    data = tables.changes_table(results[0]).data
    kinds = ["same_right", "same_wrong", "right_to_wrong", "wrong_to_right", "wrong_to_wrong"]
    assert (data[kinds].sum(axis=1) == 96 * 3).all()
    same = data[(data["unimodal"] == "audio_only") & (data["fused"] == "late")].iloc[0]
    assert same["changed"] == 0 and np.isnan(same["right"])


def test_recall_and_confusions_agree(results):
    recall = tables.recall_table(results[0]).data.set_index(["system", "class"])["score"]
    shares = tables.confusion_table(results[0]).data
    diagonal = shares[shares["truth"] == shares["prediction"]].set_index(["system", "truth"])["share"]
    assert len(recall) == len(diagonal) == 16
    assert all(recall[place] == pytest.approx(diagonal[place]) for place in recall.index)


def test_seeds_have_the_mean_of_the_results(results):
    seeds = tables.seeds_table(results).data.groupby(["result", "system"])["value"].mean()
    values = tables.paper_table(results, "audio_only").data
    for row in values[values["metric"].isin(["uar", "ccc"])].to_dict("records"):
        assert seeds[row["result"], row["system"]] == pytest.approx(row["value"])


def test_latex_is_booktabs_with_everything_escaped(results):
    for table in (
        tables.paper_table(results, "audio_only"),
        tables.comparisons_table(results[0]),
        tables.changes_table(results[0]),
        tables.confusion_table(results[0]),
    ):
        text = table.to_latex()
        for rule in (r"\toprule", r"\midrule", r"\bottomrule", r"\begin{tabular}", r"\end{table}"):
            assert text.count(rule) == 1
        assert text.count("{") - text.count(r"\{") == text.count("}") - text.count(r"\}")
        assert not re.search(r"(?<!\\)[_%#]", text.replace(rf"\label{{tab:{table.name}}}", "").replace("{%\n", ""))
        lines = [line for line in text.splitlines() if line.endswith(r"\\")]
        for line in lines:
            spans = sum(int(n) - 1 for n in re.findall(r"\\multicolumn\{(\d+)\}", line))
            assert len(re.findall(r"(?<!\\)&", line)) + spans == len(table.columns) - 1
        assert len(lines) == len(table.rows) + (1 + any(group for group, _ in table.columns))
        assert text.isascii(), [letter for letter in text if not letter.isascii()]


def test_special_letters_in_all_forms():
    cell = Cell(r"a|b<c>&d_e%\f", "(1 .. 2)", best=True, mark="†")
    table = Table("odd", "50 % & more", [("", "x")], [[cell]], pd.DataFrame({"x": ["a,b"]}))
    assert (
        r"\textbf{a\textbar{}b\textless{}c\textgreater{}\&d\_e\%\textbackslash{}f}\textsuperscript{\dag{}}"
        in table.to_latex()
    )
    assert "<strong>a|b&lt;c&gt;&amp;d_e%\\f</strong><sup>†</sup> <small>(1 .. 2)</small>" in table.to_html()
    assert table.to_markdown().splitlines()[2] == r"| **a\|b<c>&d_e%\\f**† (1 .. 2) |"


ODD = "\\ & % $ # _ { } ~ ^ < > | \" ' † ‡ – − ± × ≤ ≥ ≈ → … “a” ‘b’ — é ü ł\nnew line"


def odd_table():
    """What names, texts and numbers may have in them, in more rows than a page holds."""
    rows = [
        [Cell(head), Cell(text), Cell("−0.1", "(−0.2 .. +0.1)", best=True, mark="‡"), Cell("", ODD)]
        for head, text in [("[0, 1]", ODD * 3), ("*", ""), *[(letter, "") for letter in 9 * "abcdefgh"]]
    ]
    columns = [("", ODD), ("", "text"), ("50 % & more", "x_y"), ("50 % & more", "#")]
    return Table("odd_name", ODD, columns, rows, pd.DataFrame({"x": [1]}))


def test_latex_of_odd_texts_and_long_tables():
    text = odd_table().to_latex()
    assert set(re.sub(r"[\x00-\x7f]", "", text)) == set("éüł")
    assert not re.search(r"\\\\\n\s*[\[*]", text)  # LaTeX would take that for an option of the line break
    tables = text.split(r"\end{table}")[:-1]
    rows = [[line for line in part.splitlines() if line.endswith(r"\\")][2:] for part in tables]
    assert [len(own) for own in rows] == [33, 35, 6]  # a text of three lines is in the first
    assert text.count(r"\caption{") == text.count(r"\label{tab:odd_name}") == 1
    assert text.count("continued") == 2 and text.count(r"\toprule") == 3
    assert r"\begin{tabular}{lp{1.20\linewidth}rr}" in text


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no pdflatex")
def test_latex_compiles(whole_study, tmp_path):
    """All tables of a report and an odd one, in one document: no error, nothing too wide, nothing cut off."""
    from emofuse.report.write import write_report

    folder = write_report(whole_study, tmp_path / "report", by=["speaker"], resamples=50).parent / "tables"
    odd_table().save(folder)
    inputs = "".join(rf"\input{{{path.stem}}}\clearpage" + "\n" for path in sorted(folder.glob("*.tex")))
    packages = r"\documentclass{article}\usepackage{booktabs,graphicx}\begin{document}"
    (folder / "all.tex").write_text(f"{packages}\n{inputs}" + r"\end{document}")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "all.tex"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, errors="replace", timeout=300)
    assert done.returncode == 0, done.stdout[-3000:]
    assert (folder / "all.pdf").stat().st_size > 10_000
    for complaint in ("Float too large", "Missing character", "multiply defined"):
        assert complaint not in done.stdout
    wide = [float(points) for points in re.findall(r"Overfull \\hbox \(([\d.]+)pt too wide\)", done.stdout)]
    assert max(wide, default=0) < 20


def test_three_files_a_table(results, tmp_path):
    table = tables.seeds_table(results)
    assert [path.name for path in table.save(tmp_path)] == ["seeds.csv", "seeds.md", "seeds.tex"]
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "seeds.csv"), table.data)


def test_numbers_without_a_value():
    nan = float("nan")
    assert (number(nan), spread(0.5, nan, nan), number(-0.0001), number(0.0, sign=True)) == (
        "–",
        "0.500",
        "0.000",
        "0.000",
    )
