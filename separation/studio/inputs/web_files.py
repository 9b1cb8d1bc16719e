"""Files that programs give by their web address, as all MCP clients do: fetched up to the host's limit."""

from __future__ import annotations

import asyncio
import secrets
import shutil
from pathlib import Path
from urllib.parse import unquote, urljoin

import gradio as gr
import httpx
import safehttpx
from gradio.processing_utils import PUBLIC_HOSTNAME_WHITELIST
from gradio_client.utils import is_http_url_like, strip_invalid_filename_characters

from separation.studio.limits import LIMITS

__all__ = ["api_file", "fetch"]

SECONDS = 300  # for the whole file
_MOST_REDIRECTS = 5


def api_file(label: str) -> gr.File:
    """Return a file of a program's call. Gradio itself would hold one from the web in memory, of any size."""
    file = gr.File(label=label, type="filepath")
    move = file.async_move_resource_to_block_cache

    async def move_or_fetch(place: str | Path | None) -> str | None:
        if not isinstance(place, str) or not is_http_url_like(place):
            return await move(place)
        try:
            path = str(await fetch(place, Path(file.GRADIO_CACHE), LIMITS.file_bytes))
        except ValueError as error:
            raise gr.Error(str(error), print_exception=False) from error
        file.temp_files.add(path)
        return path

    # For a subclass, Gradio would write a .pyi file next to this one.
    file.async_move_resource_to_block_cache = move_or_fetch  # type: ignore[assignment, method-assign]
    return file


async def fetch(address: str, folder: Path, most_bytes: float) -> Path:
    """Store a file from a public web address in a new subfolder; return its path.

    Raises
    ------
    ValueError
        If it cannot be fetched within five minutes, the host is not public, or the file has more than `most_bytes`.
    """
    last = address.partition("?")[0].rpartition("/")[2]
    name = strip_invalid_filename_characters(unquote(last)) or "file"
    path = folder / secrets.token_hex(16) / name
    path.parent.mkdir(parents=True)
    try:
        async with asyncio.timeout(SECONDS):
            await _download(address, path, most_bytes)
    except BaseException as error:
        shutil.rmtree(path.parent)
        if isinstance(error, (TimeoutError, httpx.HTTPError, httpx.InvalidURL)):
            raise ValueError(f"cannot fetch {name!r} from its web address") from error
        raise
    return path


async def _download(address: str, path: Path, most_bytes: float) -> None:
    for _ in range(_MOST_REDIRECTS):
        async with (
            httpx.AsyncClient(transport=await _transport(address)) as client,
            client.stream("GET", address) as response,
        ):
            if response.has_redirect_location:
                address = urljoin(address, response.headers["Location"])
                continue
            response.raise_for_status()
            left = most_bytes
            with path.open("wb") as file:
                async for block in response.aiter_bytes():
                    left -= len(block)
                    if left < 0:
                        raise ValueError(f"cannot read {path.name!r}: the limit is {most_bytes / 1e6:g} MB")
                    file.write(block)
        return
    raise ValueError(f"cannot fetch {path.name!r} from its web address")


async def _transport(address: str) -> httpx.AsyncBaseTransport | None:
    """Return a connection to the checked, public address of a host; Gradio's own hosts need no check."""
    host = httpx.URL(address).host
    if safehttpx.matches_domain_whitelist(host, PUBLIC_HOSTNAME_WHITELIST):
        return None
    try:
        return safehttpx.AsyncSecureTransport(await safehttpx.async_validate_url(host))
    except ValueError as error:
        raise httpx.InvalidURL(str(error)) from error
