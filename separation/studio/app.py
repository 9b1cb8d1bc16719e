"""Build and launch the studio."""

from __future__ import annotations

import os
import signal
import threading
import time
from typing import Any

import gradio as gr
from starlette.middleware import Middleware

from separation.resources import ASSETS
from separation.studio import api
from separation.studio.components import fragments
from separation.studio.components.drop_zone import drop_zone_html
from separation.studio.components.method_cards import method_cards
from separation.studio.components.song_cards import song_cards
from separation.studio.components.theme import CSS, HEAD, theme
from separation.studio.early_script import EarlyScript
from separation.studio.i18n import I18N, Translator, translatable, translator_for
from separation.studio.jobs import cluster, model_cache, runner
from separation.studio.jobs.zero_gpu import is_zero_gpu
from separation.studio.limits import LIMITS
from separation.studio.pages import benchmark, blind_test, compare, job_control, models, separate
from separation.studio.pages.song_choice import library
from separation.studio.results import storage
from separation.workers.threads import limit_malloc_arenas

__all__ = ["build", "launch"]

#: Gradio's own footer is hidden.
_OPEN_API = """element.addEventListener("click", ({ target }) => {
  if (target.closest("#api")) document.querySelector("footer .show-api")?.click();
});"""
_CLOCKS = (ASSETS / "page" / "clocks.js").read_text("utf-8")
THREADS = 80  # each waiting visitor holds one


def build() -> gr.Blocks:
    """Return all pages as Blocks, not yet served."""
    with api.CheckedBlocks(title="Stemscope", analytics_enabled=False, delete_cache=(600, 3600)) as studio:
        api.build()  # first: their names are fixed, and Gradio numbers later duplicates
        masthead = gr.HTML(fragments.masthead(Translator("en")))
        with gr.Tabs(overflow_behavior="wrap"):  # a menu would hide pages on phones
            with gr.Tab(translatable("page_separate"), id="separate"):
                separate_page = separate.build()
            with gr.Tab(translatable("page_compare"), id="compare") as tab:
                _heading("page_compare")
                compare.build(separate_page.token, tab)
            with gr.Tab(translatable("page_blind"), id="blind") as tab:
                _heading("page_blind")
                blind_test.build(separate_page.token, tab)
            with gr.Tab(translatable("page_benchmark"), id="benchmark") as tab:
                _heading("page_benchmark")
                benchmark.build(tab)
            with gr.Tab(translatable("page_models"), id="models") as tab:
                _heading("page_models")
                models.build(separate_page, tab)
            with gr.Tab(translatable("page_about"), id="about"):
                about_html = gr.HTML(fragments.about(Translator("en")))
        footer = gr.HTML(fragments.footer(Translator("en")), js_on_load=_OPEN_API)
        job_control.wire_load(studio, separate_page.job)
        studio.load(
            _welcome,
            None,
            [
                masthead,
                separate_page.hero,
                separate_page.song.drop,
                separate_page.song.examples,
                separate_page.song.library,
                separate_page.methods,
                separate_page.folded,
                about_html,
                footer,
            ],
            show_progress="hidden",
            api_visibility="private",
        )
    return studio


def _heading(key: str) -> None:
    """Head a page, for those who hear it, with the words of its tab."""
    gr.Markdown(f"## {translatable(key)}", elem_classes="hidden-text")


def _welcome(request: gr.Request) -> tuple[Any, ...]:
    """Return the page's own HTML in the visitor's language, and the current list of songs."""
    words = translator_for(request)
    return (
        fragments.masthead(words),
        fragments.hero(words),
        gr.update(zone=drop_zone_html(words)),
        song_cards(words),
        gr.update(choices=library()),
        gr.update(cards=method_cards(words)),
        gr.update(line=fragments.folded_line(words)),
        fragments.about(words),
        fragments.footer(words),
    )


def launch() -> None:
    """Serve the studio until it is stopped.

    The address is GRADIO_SERVER_NAME and GRADIO_SERVER_PORT, or PORT; 127.0.0.1:7860 by default.
    """
    limit_malloc_arenas()
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # no telemetry
    os.environ.setdefault("GRADIO_TEMP_DIR", str(storage.UPLOADS))  # before any component is created
    storage.prepare_folders()
    if cluster.address():
        cluster.connect()  # to say at once if it cannot be reached
    model_cache.fetch_models()
    studio = build()
    if is_zero_gpu():  # ZeroGPU keeps what the main thread has loaded at launch
        model_cache.warm_up()
    studio.queue(max_size=64)
    studio._queue.sleep_when_free = 0.01  # Gradio looks every millisecond, which takes 4 % of a core of an idle server
    studio.launch(
        server_port=_port(),
        theme=theme(),
        css=CSS,
        head=HEAD,
        i18n=I18N,
        allowed_paths=[str(storage.RESULTS)],
        blocked_paths=[str(storage.hidden_folder())],
        max_file_size=int(LIMITS.file_bytes),
        max_threads=THREADS,
        footer_links=["api"],  # behind the button of our own footer
        mcp_server=True,
        enable_monitoring=False,
        run_history=False,
        ssr_mode=False,
        quiet=True,
        prevent_thread_lock=True,
        _frontend=False,  # no check that ends a start on a busy machine, where the first page takes more than 3 s
        app_kwargs={"middleware": [Middleware(EarlyScript, script=_CLOCKS)]},
    )
    print(f"Stemscope is at {studio.local_url}", flush=True)
    for stop in (signal.SIGTERM, signal.SIGINT):
        signal.signal(stop, _end)
    if not is_zero_gpu():
        threading.Thread(target=model_cache.warm_up, name="warm-up", daemon=True).start()
    threading.Thread(target=_sweep_for_ever, name="sweep", daemon=True).start()
    studio.block_thread()


def _end(signal_number: int, *_: object) -> None:
    """Exit on SIGTERM or Ctrl-C; results are kept, since the studio may be restarted."""
    runner.release()
    os._exit(128 + signal_number)  # a regular exit would abort while threads compute


def _port() -> int | None:
    """Return the PORT that container hosts set, or None to let Gradio choose."""
    given = os.environ.get("PORT", "")
    return int(given) if given.isdigit() and "GRADIO_SERVER_PORT" not in os.environ else None


def _sweep_for_ever() -> None:
    """Remove expired results every five minutes."""
    while True:
        storage.remove_expired()
        time.sleep(300)
