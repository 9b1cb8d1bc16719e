"""What visitors and files call themselves never becomes markup."""

from __future__ import annotations

from pathlib import Path

from separation.pipeline import Result
from separation.separators import METHODS
from separation.studio import cards
from separation.studio.jobs import MethodResult, Stem

NASTY = '<img src=x onerror="alert(1)">'


def result(**changes: object) -> Result:
    fields: dict[str, object] = {
        "input": NASTY,
        "method": "ica",
        "model": None,
        "stems": {},
        "sample_rate": 44100,
        "channels": 2,
        "frames": 44100,
        "residual_db": -43.2,
        "gain_db": 0.0,
        "seconds": 2.0,
        "real_time_factor": 2.0,
        "device": "cpu",
        "card": Path("result.json"),
    }
    return Result(**(fields | changes))  # type: ignore[arg-type]


def section(**changes: object) -> str:
    stem = Stem(name=NASTY, path=Path("/tmp/a b/#.wav"), picture=Path("/tmp/a.png"))
    return cards.method_result(
        MethodResult(
            method=METHODS["ica"], result=result(**changes), stems=(stem,), archive=Path(f"/tmp/{NASTY} - ica.zip")
        )
    )


def test_names_are_escaped_wherever_they_are_shown() -> None:
    for html in (section(), cards.work(NASTY, [NASTY]), section(warnings=[NASTY], model=NASTY)):
        assert "<img src=x" not in html
        assert "&lt;img src=x" in html


def test_addresses_of_files_are_quoted() -> None:
    assert 'src="gradio_api/file=/tmp/a%20b/%23.wav"' in section()


def test_a_shared_gain_is_shown() -> None:
    assert "lowered by 3.2 dB" in section(gain_db=-3.2)
    assert "lowered" not in section()


def test_no_residual_is_said_in_words() -> None:
    assert "residual -43.2 dB" in section()
    assert "no residual" in section(residual_db=None)


def test_the_bar_tells_assistive_technology_how_far_it_is() -> None:
    assert 'aria-valuenow="42"' in cards.work("Demucs", share=0.42)
    assert 'aria-valuenow="100"' in cards.work("Demucs", share=1.7)
    assert "progressbar" not in cards.work("Demucs")


def test_every_problem_has_a_line_of_its_own() -> None:
    assert cards.work("Done", problems=["no model", NASTY]).count("<p>") == 2


def test_every_method_has_a_card() -> None:
    html = cards.method_cards(METHODS.values())
    assert html.count("<article") == len(METHODS)
