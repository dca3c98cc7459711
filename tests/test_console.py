from emofuse.console import render_metrics


def test_metrics_table():
    assert render_metrics({"dev": {"uar": 0.5, "n": 3}}) == "dev.uar  0.500\ndev.n    3\n"
    assert render_metrics({}) == ""
