"""Further metrics in Chromium: chosen in the form, shown on Compare."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests.studio.browser import choose, choose_sample, excerpt, separate, wait_for
from tests.studio.server import CHROMIUM

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed: apt install chromium"),
]


def test_more_metrics_are_shown_where_methods_are_compared(page: Page) -> None:
    choose_sample(page)
    choose(page, "Mixture ÷ 4", "Harmonic-percussive")
    excerpt(page, 1, 2)
    page.get_by_role("checkbox", name="More metrics").check()
    separate(page)
    wait_for(page, "Done.*2 of 2 methods")
    page.get_by_role("tab", name="Compare").click()
    metric = page.locator("#compare .metric-choice select")
    further = ["Bleedless", "Fullness", "L1 freq", "Aura STFT", "Log-WMSE"]
    expect(metric.locator("option")).to_have_text(["SDR", "ISR", "SIR", "SAR", "uSDR", "SI-SDR", *further, "mask AP"])
    metric.select_option("Bleedless")
    expect(page.locator("#compare .metric-choice")).to_contain_text("it ignores missing sound")
    expect(page.locator("#compare .answer .lead")).not_to_contain_text("dB")
    expect(page.locator("#compare .answer .best")).to_have_count(4)
    expect(page.locator("#compare .seconds h4")).to_have_text("Vocals: SDR (dB)")  # this metric has no line
    expect(page.locator("#compare .score-table thead th")).to_contain_text(["Vocals", "SDR", *further])
    expect(page.locator("#compare .score-table")).to_contain_text("73.7 in log-WMSE")
