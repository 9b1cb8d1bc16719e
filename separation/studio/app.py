"""The studio as a whole."""

from __future__ import annotations

import atexit
import os
import signal
import sys
import threading
import time

import gradio as gr

from separation.parallel import share_one_heap
from separation.studio import (
    about_page,
    benchmark_page,
    blind_page,
    cards,
    compare_page,
    jobs,
    models_page,
    programs,
    results,
    separate_page,
)
from separation.studio.limits import LIMITS
from separation.studio.theme import CSS, HEAD, theme
from separation.studio.words import I18N, Words, label, words_for
from separation.studio.zero_gpu import is_zero_gpu

__all__ = ["build", "launch"]

THREADS = 80  # visitors who wait for their turn each hold one


def build() -> gr.Blocks:
    """All pages, not yet served."""
    with gr.Blocks(title="Stemscope", analytics_enabled=False, delete_cache=(600, 3600)) as studio:
        programs.build()  # first: their names are fixed, and what comes later with the same gets a number
        masthead = gr.HTML(cards.masthead(Words("en")))
        with gr.Tabs(overflow_behavior="wrap"):  # a menu would hide pages from a phone's visitor
            with gr.Tab(label("page_separate"), id="separate"):
                separate = separate_page.build()
            with gr.Tab(label("page_compare"), id="compare") as compare:
                compare_page.build(separate.token, compare)
            with gr.Tab(label("page_blind"), id="blind") as blind:
                blind_page.build(separate.token, blind)
            with gr.Tab(label("page_benchmark"), id="benchmark") as benchmark:
                benchmark_page.build(benchmark)
            with gr.Tab(label("page_models"), id="models") as models:
                models_page.build(separate, models)
            with gr.Tab(label("page_about"), id="about"):
                about = about_page.build()
        studio.load(
            separate_page.restore,
            None,
            [separate.status, separate.place, separate.token],
            show_progress="hidden",
            api_visibility="private",
        )
        studio.load(
            _welcome,
            None,
            [masthead, separate.described, about],
            show_progress="hidden",
            api_visibility="private",
        )
        studio.unload(separate_page.leave)
    return studio


def _welcome(request: gr.Request) -> tuple[str, str, str]:
    """What is our own HTML, in the visitor's language."""
    words = words_for(request)
    return cards.masthead(words), cards.method_cards(words), cards.about(words)


def launch() -> None:
    """Serve the studio where GRADIO_SERVER_NAME and GRADIO_SERVER_PORT, or PORT, say, 127.0.0.1:7860 by default."""
    share_one_heap()
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # nothing is sent anywhere
    os.environ.setdefault("GRADIO_TEMP_DIR", str(results.UPLOADS))  # before any component is made
    results.begin()
    jobs.fetch_models()
    studio = build()
    if is_zero_gpu():  # it keeps what the main thread has loaded when the studio is launched
        jobs.warm_up()
    studio.queue(max_size=64)
    studio.launch(
        server_port=_port(),
        theme=theme(),
        css=CSS,
        head=HEAD,
        i18n=I18N,
        allowed_paths=[str(results.RESULTS)],
        max_file_size=int(LIMITS.file_bytes),
        max_threads=THREADS,
        footer_links=["api", "settings"],
        mcp_server=True,
        enable_monitoring=False,
        run_history=False,
        ssr_mode=False,
        quiet=True,
        prevent_thread_lock=True,
    )
    print(f"Stemscope is at {studio.local_url}", flush=True)
    atexit.register(results.remove_results)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # a polite kill is an exit
    if not is_zero_gpu():
        threading.Thread(target=jobs.warm_up, name="warm-up", daemon=True).start()
    threading.Thread(target=_sweep_for_ever, name="sweep", daemon=True).start()
    studio.block_thread()


def _port() -> int | None:
    """Hosts of containers say it in PORT; None: what Gradio makes of its own variable."""
    given = os.environ.get("PORT", "")
    return int(given) if given.isdigit() and "GRADIO_SERVER_PORT" not in os.environ else None


def _sweep_for_ever() -> None:
    """Old results go even if nobody comes."""
    while True:
        results.sweep()
        time.sleep(300)
