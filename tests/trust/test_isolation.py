"""Isolation of visitors, expiry of results, and past vulnerabilities of Gradio."""

from __future__ import annotations

import io
import os
import re
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import numpy as np
import pytest
import soundfile

from separation.studio.limits import LIMITS
from separation.studio.results.storage import KEEP_SECONDS
from tests.conftest import ROOT
from tests.studio.server import Server
from tests.trust.conftest import SECRET, RecordAttack, tone
from tests.trust.visitor import Visitor, file, is_busy, page


def song(pitch: float) -> bytes:
    out = io.BytesIO()
    soundfile.write(out, tone(pitch, 1.0), 44100, format="WAV")
    return out.getvalue()


def stem(visitor: Visitor, answer: Any) -> np.ndarray:
    return soundfile.read(io.BytesIO(visitor.fetch(answer.output[0]["results"][0]["stems"]["vocals"]["url"])))[0]


def test_uploads_of_equal_names_are_separate(studio: Server, record_attack: RecordAttack) -> None:
    visitors = [Visitor(studio.url) for _ in range(3)]
    pitches = [300.0, 500.0, 800.0]
    given = [visitor.upload("song.wav", song(pitch)) for visitor, pitch in zip(visitors, pitches, strict=True)]
    for visitor, upload, pitch in zip(visitors, given, pitches, strict=True):
        answer = visitor.ask("separate", upload, ["mix"], 0, None)
        np.testing.assert_allclose(4 * stem(visitor, answer), tone(pitch, 1.0), atol=1e-4)
        assert len({one["path"] for one in given}) == 3
    record_attack("three visitors' song.wav", "each has its own")


def test_results_are_found_by_token_only_and_expire_after_an_hour(
    studio: Server, visitor: Visitor, record_attack: RecordAttack
) -> None:
    answer = visitor.ask("separate", visitor.upload("song.wav", song(440)), ["mix"], 0, None)
    result = answer.output[0]["results"][0]
    folder = Path(result["card"]["path"]).parents[1]
    upload = next((studio.folder / f"stemscope-{os.getuid()}-uploads").glob("*/song.wav"))
    assert re.fullmatch(r"[\w-]{22}", folder.name), "128 bits at random"
    for path in (folder, folder.parent, upload.parents[1]):
        assert path.stat().st_mode & 0o077 == 0
        assert httpx.get(f"{studio.url}/gradio_api/file={path}", timeout=60).status_code >= 400
    card = visitor.fetch(result["card"]["url"]).decode()
    assert not any(word in card for word in (str(studio.folder), str(ROOT), SECRET))
    record_attack("listing the folder of results", "refused; a name has 128 random bits")
    past = time.time() - KEEP_SECONDS - 60
    old = {folder, *upload.parents[1].iterdir()}
    for path in old:
        os.utime(path, (past, past))
    visitor.ask("separate", visitor.upload("song.wav", song(550)), ["mix"], 0, None)
    assert not [path for path in old if path.exists()]
    assert httpx.get(f"{studio.url}/{result['card']['url']}", timeout=60).status_code >= 400
    record_attack("a result and an upload after their hour", "gone")


def test_default_limits() -> None:
    assert (LIMITS.file_bytes, LIMITS.seconds, LIMITS.channels) == (200e6, 1800, 8)
    assert (LIMITS.sample_rate, LIMITS.decoded_bytes) == (384e3, 2e9)


def test_a_visitor_cannot_stop_or_hear_the_separation_of_another(
    studio: Server, visitor: Visitor, record_attack: RecordAttack
) -> None:
    other = Visitor(studio.url)
    first = visitor.ask("separate_1", *page(visitor.upload("song.wav", song(440)), ("hpss",))).output
    token = first[6]
    assert re.fullmatch(r"[\w-]{22}", token)
    other.stop()
    other.http.post(
        "/gradio_api/run/predict",
        json={"data": [token], "fn_index": other.function("ask_to_stop"), "session_hash": other.session},
    )
    while is_busy(view := visitor.look()):
        assert token not in str(other.look())
        time.sleep(0.02)
    assert "Done" in view[0]
    assert other.ask("keep", "a" * 22, "{}").error == "this result no longer exists"
    assert other.ask("job", "a" * 22).error == "this job no longer exists"
    record_attack("Stop, pressed by another visitor", "the separation ends by itself, its name is told to nobody")


# -- Gradio's own ------------------------------------------------------------------------------------

UPLOADS = f"{{folder}}/stemscope-{os.getuid()}-uploads"


@pytest.mark.parametrize(
    ("advisory", "path"),
    [
        ("CVE-2023-51449, traversal in /file", "/gradio_api/file=" + UPLOADS + "/../secret.txt"),
        ("CVE-2024-47164, a path that only looks as if inside", "/gradio_api/file=" + UPLOADS + "/x/../../secret.txt"),
        ("CVE-2025-23042, letters of another case", "/gradio_api/file={folder}/SECRET.TXT"),
        (
            "CVE-2024-47166, traversal in /custom_component",
            "/gradio_api/custom_component/x/client/component/../../../secret",
        ),
        ("CVE-2024-2206 and CVE-2026-48545, the proxy", "/gradio_api/proxy=http://127.0.0.1:1/x"),
        ("CVE-2024-4940, an open redirect", "/gradio_api/file=https://127.0.0.1:1/"),
        ("CVE-2026-28414, an absolute path as a static file", "/static//{folder}/secret.txt"),
        ("CVE-2026-27167, the server's own token for whoever logs in", "/login/huggingface"),
        ("CVE-2024-47168, the monitor", "/monitoring/summary"),
        ("the monitor's page", "/monitoring"),
        ("the hub's run history", "/gradio_api/run-history/buckets"),
        ("editing code", "/gradio_api/vibe-code"),
        ("a stream that is not there", "/gradio_api/stream/x/1/1/playlist.m3u8"),
    ],
)
def test_past_file_disclosures_of_gradio_stay_closed(
    advisory: str, path: str, studio: Server, record_attack: RecordAttack
) -> None:
    answer = httpx.get(studio.url + path.format(folder=studio.folder), follow_redirects=False, timeout=30)
    assert answer.status_code >= 400 or "<!doctype html>" in answer.text.lower()
    assert answer.status_code not in (301, 302, 307, 308)
    assert SECRET not in answer.text
    record_attack(advisory, str(answer.status_code))


@pytest.mark.parametrize(
    "target", ["https://evil.example/", "//evil.example/", "////evil.example/", "\\\\evil.example"]
)
def test_logout_does_not_redirect_to_another_host(target: str, studio: Server, record_attack: RecordAttack) -> None:
    """CVE-2026-28415."""
    answer = httpx.get(f"{studio.url}/logout", params={"_target_url": target}, follow_redirects=False, timeout=30)
    there = urlsplit(answer.headers.get("location", ""))
    assert there.netloc in ("", urlsplit(studio.url).netloc)
    record_attack(f"CVE-2026-28415, a redirect to {target} after logging out", f"to {there.geturl() or 'nowhere'}")


@pytest.mark.parametrize(
    ("advisory", "route", "body"),
    [
        (
            "CVE-2024-1561, a component's own methods",
            "component_server",
            {"session_hash": "x", "component_id": 1, "fn_name": "move_resource_to_block_cache", "data": "/etc/passwd"},
        ),
        ("editing code", "vibe-edit", {"prompt": "open('/etc/passwd')"}),
        ("writing code", "vibe-code", {"code": "print(1)"}),
        ("the hub's run history", "run-history/connect", {"bucket_id": "a/b"}),
    ],
)
def test_post_requests_execute_nothing(
    advisory: str, route: str, body: dict[str, Any], studio: Server, record_attack: RecordAttack
) -> None:
    answer = httpx.post(f"{studio.url}/gradio_api/{route}", json=body, timeout=30)
    assert answer.status_code >= 400
    assert "root:x:" not in answer.text
    record_attack(advisory, str(answer.status_code))


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://localhost.evil.example"])
def test_pages_of_other_sites_cannot_read_responses(origin: str, studio: Server, record_attack: RecordAttack) -> None:
    """CVE-2024-47084, CVE-2024-47165, CVE-2025-5320."""
    answer = httpx.get(f"{studio.url}/config", headers={"Origin": origin, "Cookie": "x=y"}, timeout=30)
    assert answer.headers.get("access-control-allow-origin") not in (origin, "*")
    record_attack(
        f"a page of the origin {origin} asks for the studio's configuration", "its browser may not read the answer"
    )


def test_text_that_looks_like_a_file_is_not_served(
    studio: Server, visitor: Visitor, record_attack: RecordAttack
) -> None:
    """CVE-2024-47868, CVE-2024-1728, CVE-2024-0964: user text must not reach a file output."""
    given = visitor.upload("song.wav", song(440))
    forged = file(str(studio.folder / "secret.txt"))
    answer = visitor.separate(page(given, ("mix",), yours=forged))
    assert SECRET not in str(answer)
    assert not list((studio.folder / f"stemscope-{os.getuid()}-uploads").rglob("secret.txt"))
    record_attack("a title that is a file's description", "no file comes of it")


@pytest.mark.parametrize(
    ("advisory", "boundary", "content"),
    [
        ("CVE-2024-8966, an upload of nothing but its boundary", "-" * 4000, b"-" * 2_000_000),
        (
            "CVE-2025-0187, an upload whose name is a megabyte long",
            "x",
            b'--x\r\nContent-Disposition: form-data; name="files"; filename="'
            + b"a" * 1_000_000
            + b'.wav"\r\n\r\n\r\n--x--',
        ),
    ],
)
def test_malformed_uploads_do_not_block_the_server(
    advisory: str, boundary: str, content: bytes, studio: Server, record_attack: RecordAttack
) -> None:
    kind = f"multipart/form-data; boundary={boundary}"
    began = time.monotonic()
    answer = httpx.post(f"{studio.url}/gradio_api/upload", content=content, headers={"Content-Type": kind}, timeout=60)
    assert answer.status_code >= 400
    assert time.monotonic() - began < 50
    record_attack(advisory, str(answer.status_code))
