"""The studio as a whole."""

from __future__ import annotations

import atexit
import os
import signal
import sys
import threading
import time

import gradio as gr

from separation.studio import jobs, separate_page
from separation.studio.theme import CSS, HEAD, theme

__all__ = ["build", "launch"]

MAX_UPLOAD = "200mb"


def build() -> gr.Blocks:
    """All pages, not yet served."""
    with gr.Blocks(title="Stemscope", analytics_enabled=False, delete_cache=(600, 3600)) as studio:
        separate_page.build()
        studio.unload(separate_page.leave)
    return studio


def launch() -> None:
    """Serve the studio where GRADIO_SERVER_NAME and GRADIO_SERVER_PORT say, 127.0.0.1:7860 by default."""
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # nothing is sent anywhere
    studio = build()
    studio.queue(max_size=32)
    studio.launch(
        theme=theme(),
        css=CSS,
        head=HEAD,
        allowed_paths=[str(jobs.RESULTS)],
        max_file_size=MAX_UPLOAD,
        footer_links=["settings"],
        ssr_mode=False,
        quiet=True,
        prevent_thread_lock=True,
    )
    print(f"Stemscope is at {studio.local_url}", flush=True)
    atexit.register(jobs.remove_results)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # a polite kill is an exit
    threading.Thread(target=jobs.warm_up, name="warm-up", daemon=True).start()
    threading.Thread(target=_sweep_for_ever, name="sweep", daemon=True).start()
    studio.block_thread()


def _sweep_for_ever() -> None:
    """Old results go even if nobody comes."""
    while True:
        jobs.sweep()
        time.sleep(300)
