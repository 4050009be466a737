"""Plots of a benchmark."""

from dataclasses import replace

import pytest
from bench.test_report import sample
from hypothesis import given
from hypothesis import strategies as st

from neuromas_env.bench.plots import accuracy_against_parameters, pareto_front, to_svg
from neuromas_env.bench.plots import accuracy_against_tokens as against_tokens

pytestmark = pytest.mark.slow


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=20))
def test_pareto_front_holds_what_nothing_beats(points):
    front = pareto_front(points)
    costs, scores = zip(*front, strict=True)
    assert list(costs) == sorted(set(costs)) and list(scores) == sorted(set(scores))
    for cost, score in points:
        beaten = any(c <= cost and s >= score and (c, s) != (cost, score) for c, s in points)
        assert ((cost, score) in front) == (not beaten)


def test_plots_show_every_method_and_are_reproducible(tmp_path):
    lines = sample(tmp_path)
    for draw in (against_tokens, accuracy_against_parameters):
        svg = to_svg(draw(lines, "extracted"))
        assert svg == to_svg(draw(lines, "extracted"))
        for text in ("direct", "thod &amp; 100% $x$ {y}", "extracted score", "best constant"):
            assert text in svg
    [first, second] = against_tokens(lines, "extracted").axes
    heights = sorted(container.lines[0].get_ydata()[0] for container in first.containers)
    assert heights == pytest.approx([100 / 6, 75])
    assert second.get_title() == "u"


def test_a_long_legend_stays_within_its_figure(tmp_path):
    [line, *_] = sample(tmp_path)
    names = [f"network:topology=2-1,prompts=role_free,k={n}" for n in range(40)]
    lines = [replace(line, method=name, task=task) for task in "tu" for name in names]
    figure = against_tokens(lines, "extracted")
    figure.draw_without_rendering()
    [legend] = figure.legends
    assert len(legend.get_texts()) >= 40
    box, whole = legend.get_window_extent(), figure.bbox
    assert whole.x0 <= box.x0 and box.x1 <= whole.x1
    assert whole.y0 <= box.y0 and box.y1 <= whole.y1
