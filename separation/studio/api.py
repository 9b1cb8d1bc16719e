"""The studio's API: six endpoints for gradio_client, curl and MCP."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr

from separation.evaluation.metrics import EXTRA_METRICS
from separation.separators import DEFAULT_METHOD, METHODS
from separation.studio import errors
from separation.studio.arguments import ENDPOINTS, check_arguments, refuse_web_addresses
from separation.studio.components import fragments
from separation.studio.i18n import Translator
from separation.studio.inputs import songs
from separation.studio.inputs.checks import usable_part
from separation.studio.inputs.request import SeparationRequest
from separation.studio.inputs.web_files import api_file
from separation.studio.jobs import runner
from separation.studio.jobs.store import JobOrder, JobState
from separation.studio.listening import blind_test, rating_agreement
from separation.studio.results import comparison, storage

if TYPE_CHECKING:
    from gradio.blocks import BlockFunction
    from torch import Tensor

__all__ = ["CheckedBlocks", "build", "job", "models", "score", "separate", "submit", "tracks"]


class CheckedBlocks(gr.Blocks):
    """Blocks that check the API's arguments before the components read them."""

    def validate_inputs(self, block_fn: BlockFunction, inputs: list[Any]) -> None:
        if block_fn.api_name in ENDPOINTS:
            with _as_gradio_errors():
                check_arguments(str(block_fn.api_name), inputs)
        else:
            with _as_gradio_errors():
                refuse_web_addresses(inputs)
        super().validate_inputs(block_fn, inputs)


def build() -> None:
    """Add the endpoints, which are invisible in the page, to the current Blocks."""
    with gr.Column(visible=False):
        audio = api_file("audio")
        methods = gr.CheckboxGroup(list(METHODS), value=[DEFAULT_METHOD], label="methods")
        start = gr.Number(0, label="start")
        duration = gr.Number(None, label="duration")
        references = api_file("references")
        estimates = api_file("estimates")
        metrics = gr.CheckboxGroup(list(EXTRA_METRICS), label="metrics")
        token = gr.Textbox(label="token")
        answer = gr.JSON(label="answer")
        go = [gr.Button() for _ in range(6)]
    separation = [audio, methods, start, duration, references, metrics]
    go[0].click(separate, separation, answer, api_name="separate", concurrency_limit=None)
    go[1].click(score, [references, estimates, metrics], answer, api_name="score", concurrency_limit=1)
    go[2].click(tracks, None, answer, api_name="tracks")
    go[3].click(models, None, answer, api_name="models")
    go[4].click(submit, separation, answer, api_name="submit", concurrency_limit=4)
    go[5].click(job, token, answer, api_name="job", concurrency_limit=4)
    hidden: dict[str, Any] = {"api_visibility": "undocumented", "concurrency_limit": 2}
    gr.api(keep, api_name="keep", **hidden)
    for function in (expiry, reveal, compare_ratings, compare_methods, published):
        gr.api(function, api_name=function.__name__, **hidden)


@contextmanager
def _as_gradio_errors() -> Iterator[None]:
    """Turn any exception into a gr.Error with one sentence."""
    try:
        yield
    except Exception as error:
        raise gr.Error(errors.visitor_message(error), print_exception=False) from error


def separate(
    audio: str,
    methods: list[str] | None = None,
    start: float = 0,
    duration: float | None = None,
    references: str | None = None,
    metrics: list[str] | None = None,
    request: gr.Request | None = None,
) -> dict[str, Any]:
    """Separate a song into stems.

    Args:
        audio: An audio file.
        methods: Names of methods, such as best-offline, open-unmix, demucs, ica or mix.
        start: Start of the excerpt in seconds.
        duration: Length of the excerpt in seconds; by default, up to the end of the file.
        references: A ZIP of the song's true sources, such as vocals.wav and drums.wav, to score every method.
        metrics: Further metrics, as of `score`; they need the references.

    Returns:
        "results", one per method: its stems as files, residual_db, gain_db, seconds, real_time_factor, and
        "scores" as of `score` if there are references; and "failed".
    """
    with _as_gradio_errors():
        started = _submit(audio, methods, start, duration, references, metrics, request)
        last = runner.wait(started)
        if last is None:
            raise ValueError("this job no longer exists")
        if last.error is not None:
            raise ValueError(last.error)
    return _results(started, last)


def submit(
    audio: str,
    methods: list[str] | None = None,
    start: float = 0,
    duration: float | None = None,
    references: str | None = None,
    metrics: list[str] | None = None,
    request: gr.Request | None = None,
) -> dict[str, str]:
    """Start to separate a song into stems, and return at once; query its state with `job`.

    Args:
        audio: An audio file.
        methods: Names of methods, such as best-offline, open-unmix, demucs, ica or mix.
        start: Start of the excerpt in seconds.
        duration: Length of the excerpt in seconds; by default, up to the end of the file.
        references: A ZIP of the song's true sources, such as vocals.wav and drums.wav, to score every method.
        metrics: Further metrics, as of `score`; they need the references.

    Returns:
        "job": a token, to be passed to `job`; the page at ?result=TOKEN shows the same job.
    """
    with _as_gradio_errors():
        return {"job": _submit(audio, methods, start, duration, references, metrics, request)}


def job(token: str) -> dict[str, Any]:
    """Return the state of a separation that `submit` has started, and its results so far.

    Args:
        token: The token that `submit` has returned. It is valid until an hour after the job has ended.

    Returns:
        "state": waiting, working, done, stopped, failed or interrupted; "place": the jobs ahead while it waits;
        "share": fraction of the work that is done, 0 to 1; "seconds_left": until its turn while it waits, until its
        end while it works, or null; "results" and "failed" as `separate` returns them.
    """
    with _as_gradio_errors():
        state = runner.find(token)
        if state is None:
            raise ValueError("this job no longer exists")
    known = {name: getattr(state, name) for name in ("state", "place", "share", "seconds_left")}
    return {**known, **_results(token, state)}


def _submit(
    audio: str,
    methods: list[str] | None,
    start: float,
    duration: float | None,
    references: str | None,
    metrics: list[str] | None,
    request: gr.Request | None,
) -> str:
    """Check the arguments, put a job into the queue, and return its token."""
    excerpt: dict[str, Any] = {"start": start or 0.0, "duration": duration or None}
    asked = SeparationRequest(methods=methods or [DEFAULT_METHOD], metrics=_metrics(metrics))
    if asked.metrics and not references:
        raise ValueError("metrics need the true sources: pass a ZIP of them as references")
    seconds = songs.check_choice("upload", audio, **excerpt)
    asked, problems = usable_part(asked, references=bool(references), words=Translator("en"))
    truth = [references] if references else None
    song = {"kind": "upload", "choice": audio, "references": truth, "estimates": None, **excerpt}
    order = JobOrder(song=song, name=Path(audio).name, request=asked, problems=problems, seconds=seconds)
    visitor = (request and request.session_hash) or object()
    return runner.submit(order, visitor, watched=False)


def _results(token: str, state: JobState) -> dict[str, Any]:
    """Return the finished methods, and a sentence for each that failed."""
    sentences = [*state.problems, *state.failed.values(), *([state.error] if state.error is not None else [])]
    failed = [{"input": state.name, "error": sentence} for sentence in sentences]
    folder = storage.RESULTS / token
    scores = _scores(folder)
    results = [_served(result, folder) | scores.get(result["method"], {}) for result in state.results]
    return {"results": results, "failed": failed}


def _scores(folder: Path) -> dict[str, dict[str, Any]]:
    """Return method -> "scores" for the methods that are scored."""
    try:
        groups = storage.read_player(folder)["groups"]
    except ValueError:  # nothing can be heard yet
        return {}
    return {group["id"]: {"scores": group["scores"]} for group in groups if group["scores"]}


def _metrics(names: list[str] | None) -> tuple[str, ...]:
    """Return the chosen metrics in their usual order."""
    return tuple(name for name in EXTRA_METRICS if name in (names or ()))


def _served(document: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Return a result whose files a client can download."""

    def file(name: str) -> dict[str, Any]:
        path = folder / name
        return {
            "path": str(path),
            "url": fragments.file_url(path),
            "orig_name": path.name,
            "meta": {"_type": "gradio.FileData"},
        }

    stems = {source: file(path) for source, path in document["stems"].items()}
    return {**document, "stems": stems, "card": file(document["card"])}


def score(references: str, estimates: str, metrics: list[str] | None = None) -> dict[str, Any]:
    """Score stems against the true sources: BSSEval v4 as museval computes it, uSDR, SI-SDR, masks.

    Args:
        references: A ZIP of the true sources, such as vocals.wav and drums.wav.
        estimates: A ZIP of a separator's stems, under the same names.
        metrics: Further metrics of the whole track: bleedless, fullness, l1_freq, aura_stft, log_wmse.

    Returns:
        "targets": per source the medians over 1 s frames of SDR, ISR, SIR and SAR in dB, and every frame.
    """
    from separation.evaluation.signals import ArraySignals
    from separation.evaluation.track_scores import score_signals
    from separation.studio.inputs.uploads import read_stems

    with _as_gradio_errors():
        if not references or not estimates:
            raise ValueError("score needs two ZIP files: the true sources and the stems of a separator")
        with storage.scratch() as folder:
            truth = read_stems([references], folder / "references")
            found = read_stems([estimates], folder / "estimates")
        targets = [name for name in truth if name in found]
        if not targets:
            raise ValueError("the two ZIP files have no source in common: both need files such as vocals.wav")
        one, other = truth[targets[0]], found[targets[0]]
        if (one.sample_rate, one.channels) != (other.sample_rate, other.channels):
            raise ValueError(
                f"the true sources have {one.channels} channels at {one.sample_rate} Hz, "
                f"the stems {other.channels} at {other.sample_rate} Hz"
            )
        signals = [_stack({name: side[name].waveform for name in targets}, one.frames) for side in (truth, found)]
        true, estimated = map(ArraySignals, signals)
        return score_signals(targets, true, estimated, one.sample_rate, metrics=_metrics(metrics))


def _stack(sounds: dict[str, Tensor], frames: int) -> Tensor:
    """Stack estimates, cut or zero-padded to the references' length as on the command line."""
    import torch

    return torch.stack(
        [torch.nn.functional.pad(x[:, :frames], (0, max(0, frames - x.shape[1]))) for x in sounds.values()]
    )


def tracks() -> dict[str, Any]:
    """List the MUSDB18 tracks of this studio.

    Returns:
        "root" and "tracks": name, subset, duration in seconds, sources.
    """
    found = [
        {"name": track.name, "subset": track.subset, "duration": track.duration, "sources": list(track.sources)}
        for track in songs.musdb_tracks().values()
    ]
    return {"root": "MUSDB18" if found else None, "tracks": found}


def models() -> dict[str, Any]:
    """List all known weights, and whether they are installed.

    Returns:
        "models": name, method, sources, sample_rate, installed, bundled, bytes, licence, trained_on, files.
    """
    from separation.weights import catalogue

    return {"models": [model.describe() for model in catalogue.list_models()]}


def keep(token: str, order: str) -> str:
    """Write the file requested with Download in the player, and return its URL."""
    from separation.studio.results import downloads

    with _as_gradio_errors():
        return fragments.file_url(downloads.export(_result(token), **_kept(order)))


def _kept(order: str) -> dict[str, Any]:
    try:
        wanted = json.loads(order)
        gains = {str(name): float(gain) for name, gain in dict(wanted.get("gains") or {}).items()}
        return {name: str(wanted[name]) for name in ("what", "method", "format")} | {"gains": gains}
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise ValueError("the request for a download is invalid") from error


def expiry(token: str) -> float:
    """Return the seconds until a result expires."""
    with _as_gradio_errors():
        return storage.seconds_left(_result(token))


def _result(token: str) -> Path:
    """Return the folder of a result; raise ValueError if it does not exist or has expired."""
    folder = storage.find_result(token)
    if folder is None:
        raise ValueError("this result no longer exists")
    return folder


def reveal(token: str, ratings: str, share: bool = False) -> dict[str, Any]:
    """Return the results of a blind test."""
    with _as_gradio_errors():
        return blind_test.reveal(token, ratings, share=share)


def compare_ratings(ratings: str) -> dict[str, Any]:
    """Return how ratings agree with each metric."""
    with _as_gradio_errors():
        return rating_agreement.compare_ratings(ratings)


def compare_methods(token: str) -> dict[str, Any]:
    """Return the best method of a result for each source and metric."""
    with _as_gradio_errors():
        return comparison.compare_result(_result(token))


def published(metric: str) -> dict[str, Any]:
    """Return the scores of the published systems."""
    with _as_gradio_errors():
        return comparison.published(metric)
