"""Hostile and strange files and calls, through a real studio: a result, or one clear sentence."""

from __future__ import annotations

import io
import json
import os
import pickle
import shutil
import socket
import stat
import time
import zipfile
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import httpx
import numpy as np
import pytest
import soundfile
import torch

from separation.studio.results import storage
from tests.audio.helpers import PLAYLISTS
from tests.conftest import ROOT
from tests.studio.server import Server
from tests.trust.conftest import SECRET, RecordAttack, assert_reveals_nothing, refusal_message, remaining_files, tone
from tests.trust.visitor import Visitor, file, page


@pytest.fixture(autouse=True)
def studio_survives(studio: Server) -> Iterator[None]:
    """Check after each attack that it has left no files, and that the next visitor is served."""
    before = remaining_files(studio)
    yield
    assert wait_until(lambda: remaining_files(studio) <= before), remaining_files(studio) - before
    assert httpx.get(f"{studio.url}/gradio_api/app_id", timeout=30).status_code == 200


def wait_until(is_true: Callable[[], bool]) -> bool:
    """Return whether something becomes true within a minute."""
    for _ in range(3000):
        if is_true():
            return True
        time.sleep(0.02)
    return False


def wav(samples: np.ndarray | None = None, *, rate: int = 44100, format: str = "WAV", subtype: str = "PCM_16") -> bytes:
    out = io.BytesIO()
    soundfile.write(out, tone(440, 0.5) if samples is None else samples, rate, format=format, subtype=subtype)
    return out.getvalue()


def stems_of(visitor: Visitor, answer: dict[str, Any]) -> Iterator[np.ndarray]:
    for stem in answer["results"][0]["stems"].values():
        yield soundfile.read(io.BytesIO(visitor.fetch(stem["url"])), always_2d=True)[0]


def expire_result(studio: Server, answer: dict[str, Any]) -> None:
    """Remove a valid result, so that only files left by attacks are found."""
    shutil.rmtree(Path(answer["results"][0]["card"]["path"]).parents[1])


def zipped(members: dict[str, bytes], *, compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return out.getvalue()


# -- files that name other files --------------------------------------------------------------------


@pytest.mark.parametrize("kind", PLAYLISTS)
def test_a_playlist_opens_nothing(
    kind: str, studio: Server, visitor: Visitor, listener: tuple[int, list[str]], record_attack: RecordAttack
) -> None:
    port, calls = listener
    other = studio.folder / "other.wav"
    uploads = studio.folder / f"stemscope-{os.getuid()}-uploads"
    targets = {
        "an absolute path": str(other),
        "a file address": f"file://{other}",
        "a relative path": os.path.relpath(other, uploads / "x"),
        "the network": f"http://127.0.0.1:{port}/other.wav",
    }
    for what, target in targets.items():
        text = PLAYLISTS[kind].format(target=target, port=port).encode()
        said = [
            refusal_message(visitor.ask("separate", visitor.upload("song.mp3", text), ["mix"], 0, None), studio.folder)
        ]
        answer = visitor.separate(page(visitor.upload("song.wav", text)))
        assert "did not work" in str(answer.output)
        assert_reveals_nothing(str(answer), studio.folder)
        archive = visitor.upload("stems.zip", zipped({"vocals.wav": text}))
        said.append(refusal_message(visitor.ask("score", archive, archive), studio.folder))
        record_attack(f"{kind} playlist called song.mp3, naming {what}", said[0])
        assert all("cannot read" in one for one in said)
    assert not calls


# -- paths and addresses in calls -------------------------------------------------------------------

TRAVERSALS = [
    "{secret}",
    "/{secret}",
    "{uploads}/../secret.txt",
    "{uploads}/%2e%2e/secret.txt",
    "{uploads}/..%2fsecret.txt",
    "{uploads}/%252e%252e%252fsecret.txt",
    "{results}/../secret.txt",
    "{results}/..%2f..%2fsecret.txt",
    "../secret.txt",
    "..%5csecret.txt",
    "file://{secret}",
    "{root}/app.py",
    "{root}/assets/../app.py",
    "/proc/self/environ",
    "/proc/self/cwd/app.py",
    "/etc/passwd",
    "{uploads}",
    "{results}",
    "{uploads}/x%00/../../secret.txt",
]


def raw(url: str, request: str) -> bytes:
    """Send a request as it is; HTTP clients would normalise the path."""
    host, port = url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        connection.sendall(f"GET {request} HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\n\r\n".encode())
        answer = b""
        while block := connection.recv(65536):
            answer += block
    return answer


@pytest.mark.parametrize("path", TRAVERSALS)
def test_no_url_serves_another_file(path: str, studio: Server, record_attack: RecordAttack) -> None:
    places = {
        "secret": studio.folder / "secret.txt",
        "uploads": studio.folder / f"stemscope-{os.getuid()}-uploads",
        "results": studio.folder / f"stemscope-{os.getuid()}",
        "root": ROOT,
    }
    for route in ("/gradio_api/file=", "/gradio_api/file/", "/file=", "/static/", "/assets/", "/svelte/"):
        answer = raw(studio.url, route + path.format(**places))
        status = int(answer.split(b" ", 2)[1])
        assert status >= 400 or b"<!doctype html>" in answer.lower(), (route, answer[:300])
        for secret in (SECRET.encode(), b"root:x:", b"from separation.studio.app import launch"):
            assert secret not in answer
    record_attack(f"GET file={path}", f"{status}, nothing of it")


@pytest.mark.parametrize("path", ["{folder}/secret.txt", "{folder}/other.wav", "/etc/passwd", "{uploads}/../other.wav"])
def test_paths_in_api_calls_are_not_read(
    path: str, studio: Server, visitor: Visitor, record_attack: RecordAttack
) -> None:
    path = path.format(folder=studio.folder, uploads=studio.folder / f"stemscope-{os.getuid()}-uploads")
    good = visitor.upload("song.wav", wav())
    calls: dict[str, list[Any]] = {
        "separate": [file(path), ["mix"], 0, None],
        "score": [file(path), file(path)],
        "separate_1": page(file(path)),
        "draw": [["mix"], "SDR", False, [file(path, "x.json")], "mine"],
    }
    for name, data in calls.items():
        assert visitor.ask(name, *data).error is not None, name
    for own in ("references", "estimates"):
        assert visitor.separate(page(good, **{own: [file(path)]})).error is not None, own
    assert visitor.ask("keep", path, "{}").error == "this result no longer exists"
    assert visitor.ask("reveal", path, "{}", False).error == "this test no longer exists"
    record_attack(f"calls with the path {Path(path).name}", "refused by every endpoint")


ADDRESSES = ["http://127.0.0.1:{port}/x.wav", "http://localhost:{port}/x.wav", "http://0.0.0.0:{port}/x.wav"]
ADDRESSES += ["http://2130706433:{port}/x.wav", "http://[::ffff:127.0.0.1]:{port}/x.wav"]


@pytest.mark.parametrize("address", ADDRESSES)
def test_urls_in_api_calls_are_not_fetched(
    address: str, studio: Server, visitor: Visitor, listener: tuple[int, list[str]], record_attack: RecordAttack
) -> None:
    port, calls = listener
    address = address.format(port=port)
    for given in (file(address), file("", url=address), {"path": address, "url": address}):
        assert visitor.ask("separate", given, ["mix"], 0, None).error is not None
    assert visitor.ask("separate", file(address), ["mix"], 0, None).error == "cannot fetch 'x.wav' from its web address"
    assert visitor.ask("score", file(address), file(address)).error == "cannot fetch 'x.wav' from its web address"
    refusal = "a file must be uploaded: web addresses are not fetched"
    assert visitor.separate(page(file(address))).error == refusal
    assert visitor.ask("draw", ["mix"], "SDR", False, [file(address, "x.json")], "mine").error == refusal
    for route in (
        f"/gradio_api/file={address}",
        f"/gradio_api/proxy={address}",
        f"/gradio_api/call/separate?u={address}",
    ):
        assert int(raw(studio.url, route).split(b" ", 2)[1]) >= 400
    assert not calls
    record_attack(f"the address {address.replace(str(port), 'PORT')} for a file", "not fetched")


# -- files that are not what they seem --------------------------------------------------------------


class Bomb:
    """An object that leaves a mark when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.write_text, (self.mark, "executed"))


def torch_file(content: object) -> bytes:
    out = io.BytesIO()
    torch.save(content, out)
    return out.getvalue()


def test_nothing_is_unpickled(studio: Server, visitor: Visitor, tmp_path: Path, record_attack: RecordAttack) -> None:
    mark = tmp_path / "mark"
    array = io.BytesIO()
    np.save(array, np.array([Bomb(mark)], dtype=object), allow_pickle=True)
    bombs = {"model.pth": torch_file({"weights": Bomb(mark)}), "song.npy": array.getvalue()}
    bombs |= {"song.pkl": pickle.dumps(Bomb(mark)), "model.safetensors": pickle.dumps(Bomb(mark))}
    for name, content in bombs.items():
        said = refusal_message(visitor.ask("separate", visitor.upload(name, content), ["mix"], 0, None), studio.folder)
        record_attack(f"a pickle that executes, uploaded as {name}", said)
        archive = visitor.upload("stems.zip", zipped({"vocals.wav": content, "drums.wav": content}))
        refusal_message(visitor.ask("score", archive, archive), studio.folder)
        scores = visitor.ask("draw", ["mix"], "SDR", False, [visitor.upload("scores.json", content)], "mine")
        assert_reveals_nothing(str(scores), studio.folder)
    assert not mark.exists()
    pickle.loads(pickle.dumps(Bomb(mark)))
    assert mark.read_text() == "executed", "it is a bomb indeed"


STRANGE = {
    "nothing": b"",
    "a header-only AMR": b"#!AMR\n",
    "a text": b"no song",
    "a WAV header alone": wav(np.zeros((0, 2))),
    "an Ogg header alone": b"OggS" + bytes(60),
    "a picture": b"\x89PNG\r\n\x1a\n" + bytes(200),
    "NaN": wav(np.full((4410, 2), np.nan), subtype="FLOAT"),
    "infinity": wav(np.where(np.arange(4410)[:, None] == 99, np.inf, tone(440, 0.1)), subtype="FLOAT"),
    "nine channels": wav(tone(440, 0.1, channels=9)),
    "a megahertz": wav(tone(440, 0.1, rate=1_000_000), rate=1_000_000),
}


@pytest.mark.parametrize("kind", STRANGE)
def test_files_that_are_not_audio_are_refused_in_one_sentence(
    kind: str, studio: Server, visitor: Visitor, record_attack: RecordAttack
) -> None:
    for name in ("song.wav", "song.mp3"):
        given = visitor.upload(name, STRANGE[kind])
        said = refusal_message(visitor.ask("separate", given, ["mix"], 0, None), studio.folder)
        assert f"cannot read '{name}'" in said or "NaN or infinite" in said
    record_attack(f"{kind} as a song", said)


#: Kind -> the name of an upload, and the name under which it is separated.
NAMES = {
    "letters of many scripts": ("Übung 夜の歌 🎚️ \u202egnos.wav", "Übung 夜の歌 🎚️ \u202egnos.wav"),
    "very long": ("x" * 3000 + ".wav", "x" * 196 + ".wav"),
    "very long in four bytes": ("\N{MUSICAL SYMBOL G CLEF}" * 300 + ".wav", "\N{MUSICAL SYMBOL G CLEF}" * 49 + ".wav"),
    "with a path": ("../../../../etc/song.wav", "song.wav"),
    "with a Windows path": ("..\\..\\song.wav", "....song.wav"),
    "only dots": ("...", "file"),
    "HTML": ("<img src=x onerror=alert(1)>.wav", "img src=x onerror=alert(1).wav"),
    "a command": ("$(touch x); '`song`.wav", "(touch x); 'song.wav"),
    "a leading dash": ("--out=x.wav", "--out=x.wav"),
    "a line break": ("song\nname.wav", "song%0Aname.wav"),  # as forms send it
}


@pytest.mark.parametrize("kind", NAMES)
def test_song_names_may_contain_any_characters(
    kind: str, studio: Server, visitor: Visitor, record_attack: RecordAttack
) -> None:
    given, expected = NAMES[kind]
    answer = visitor.ask("separate", visitor.upload(given, wav()), ["mix"], 0, None)
    assert answer.error is None
    document = answer.output[0]
    for stem in stems_of(visitor, document):
        np.testing.assert_allclose(4 * stem, tone(440, 0.5), atol=1e-4)
    card = json.loads(visitor.fetch(document["results"][0]["card"]["url"]))
    assert card["input"] == expected
    record_attack(f"a name: {kind}", "separated, and its stems are served")
    expire_result(studio, document)


# -- small files that unpack to something large -----------------------------------------------------


def silent_opus(container: str, minutes: float) -> bytes:
    """Return silence as Opus, written quickly by repeating one packet."""
    first = io.BytesIO()
    with av.open(first, "w", format="ogg") as out:
        stream: Any = out.add_stream("libopus", rate=48000, layout="stereo", options={"frame_duration": "60"})
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 2 * 2880 * 4), np.float32), format="flt", layout="stereo")
        frame.sample_rate = 48000
        for packet in (*stream.encode(frame), *stream.encode(None)):
            out.mux(packet)
    first.seek(0)
    result = io.BytesIO()
    with av.open(first, "r") as source, av.open(result, "w", format=container) as out:
        old = source.streams.audio[0]
        new: Any = out.add_stream_from_template(old)
        silence = bytes(next(packet for packet in source.demux(old) if packet.size))
        for number in range(round(minutes * 60 / 0.06)):
            packet = av.Packet(silence)
            packet.stream, packet.time_base = new, Fraction(1, 48000)
            packet.pts = packet.dts = number * 2880
            packet.duration = 2880
            out.mux(packet)
    return result.getvalue()


def bombs() -> dict[str, tuple[bytes, float]]:
    """Return description -> file, and the second at which the requested excerpt starts."""
    flac = wav(np.zeros((3 * 3600 * 8000, 1), np.int16), rate=8000, format="FLAC")
    return {
        "3 h of silence in a FLAC": (flac, 0),
        "3 h of silence in an Ogg Opus": (silent_opus("ogg", 180), 0),
        "20 min in a WebM, which need not tell": (silent_opus("webm", 20), 0),
        "the last minute of 20 in a WebM": (silent_opus("webm", 20), 1140),
    }


def test_a_small_file_that_decodes_to_hours_is_refused(
    studio: Server, visitor: Visitor, record_attack: RecordAttack
) -> None:
    for what, (content, start) in bombs().items():
        assert len(content) < 3_000_000
        began = time.monotonic()
        said = refusal_message(
            visitor.ask("separate", visitor.upload("song.ogg", content), ["mix"], start, None), studio.folder
        )
        assert "limit" in said
        assert time.monotonic() - began < 60
        record_attack(f"{what} ({len(content) / 1e6:.1f} MB)", said)


def test_a_file_that_is_too_large_is_refused(studio: Server, visitor: Visitor, record_attack: RecordAttack) -> None:
    large = wav(tone(440, 30))
    assert len(large) > 4_000_000
    answer = visitor.http.post("/gradio_api/upload", files={"files": ("song.wav", large)})
    assert answer.status_code == 413
    record_attack("5 MB where 4 MB is the limit", f"{answer.status_code}: {answer.text}")


def test_an_interrupted_upload_expires_like_any_other(
    studio: Server, record_attack: RecordAttack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Gradio leaves the part that has arrived in the folder of uploads, whose files are removed after an hour."""
    folder = studio.folder / storage.UPLOADS.name
    before = set(folder.glob("*"))
    host, port = studio.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as connection:
        head = '--x\r\nContent-Disposition: form-data; name="files"; filename="a.wav"\r\n\r\n'
        connection.sendall(
            f"POST /gradio_api/upload HTTP/1.1\r\nHost: {host}\r\nContent-Length: 3000000\r\n"
            f"Content-Type: multipart/form-data; boundary=x\r\n\r\n{head}".encode()
            + bytes(2_000_000)
        )
        assert wait_until(lambda: bool(set(folder.glob("*")) - before)), "nothing of the upload has arrived"
    monkeypatch.setattr(storage, "UPLOADS", folder)
    monkeypatch.setattr(storage, "RESULTS", studio.folder / "none")
    past = time.time() - storage.KEEP_SECONDS - 1

    def expires() -> bool:
        for part in set(folder.glob("*")) - before:
            os.utime(part, (past, past))  # the server may still write the last bytes
        storage.remove_expired()
        return set(folder.glob("*")) <= before

    assert wait_until(expires)
    record_attack("an upload that breaks off", "its part is removed after an hour")


# -- archives ---------------------------------------------------------------------------------------


def archives() -> dict[str, bytes]:
    sound = wav()
    link = zipfile.ZipInfo("vocals.wav")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    linked = io.BytesIO()
    with zipfile.ZipFile(linked, "w") as archive:
        archive.writestr(link, "../../secret.txt")
    encrypted = bytearray(zipped({"vocals.wav": sound}))
    for place in (encrypted.index(b"PK\x03\x04") + 6, encrypted.index(b"PK\x01\x02") + 8):
        encrypted[place] |= 1
    liar = bytearray(zipped({"vocals.wav": bytes(3_000_000)}))
    size = liar.index(b"PK\x01\x02") + 24
    liar[size : size + 4] = (100).to_bytes(4, "little")
    return {
        "links": linked.getvalue(),
        "a bomb of 80 MB": zipped({"vocals.wav": bytes(80_000_000)}),
        "a bomb in two halves": zipped({"vocals.wav": bytes(40_000_000), "drums.wav": bytes(40_000_000)}),
        "a ZIP in a ZIP": zipped({"stems.zip": zipped({"vocals.wav": sound})}),
        "5000 entries": zipped({f"{number}.wav": b"" for number in range(5000)}),
        "a password": bytes(encrypted),
        "a size that is a lie": bytes(liar),
        "half of it": zipped({"vocals.wav": sound})[:-30],
        "two of one name": zipped({"a/vocals.wav": sound, "b/vocals.wav": sound}),
        "playlists and texts": zipped({"vocals.wav": b"#EXTM3U\n/etc/passwd\n", "notes.txt": b"x"}),
        "sound of a minute and a half": zipped({"vocals.wav": wav(tone(440, 90, rate=8000), rate=8000)}),
        "more sound than the limit, in eight files": zipped(
            {f"{n}.flac": wav(np.zeros((55 * 44100, 2)), format="FLAC") for n in range(8)}
        ),
    }


def test_hostile_archives(studio: Server, visitor: Visitor, record_attack: RecordAttack) -> None:
    good = visitor.upload("good.zip", zipped({"vocals.wav": wav()}))
    song = visitor.upload("song.wav", wav())
    for what, content in archives().items():
        given = visitor.upload("stems.zip", content)
        said = refusal_message(visitor.ask("score", given, good), studio.folder)
        refusal_message(visitor.ask("score", good, given), studio.folder)
        answer = visitor.separate(page(song, references=[given]))
        assert "did not work" in str(answer.output), what
        assert_reveals_nothing(str(answer), studio.folder)
        record_attack(f"a ZIP with {what}", said)


def test_names_in_an_archive_cannot_leave_the_folder(
    studio: Server, visitor: Visitor, record_attack: RecordAttack
) -> None:
    sound = wav(tone(440, 2) + 1e-3 * np.random.default_rng(0).standard_normal((88200, 2)))
    names = ["../../../vocals.wav", "/etc/drums.wav", "..\\..\\bass.wav", "C:\\other.wav", "a/./../b/../../piano.wav"]
    given = visitor.upload("stems.zip", zipped(dict.fromkeys(names, sound)))
    before = remaining_files(studio)
    answer = visitor.ask("score", given, given)
    assert {"vocals", "drums", "piano"} <= set(answer.output[0]["targets"])
    assert remaining_files(studio) <= before
    assert not Path("/etc/drums.wav").exists()
    record_attack("a ZIP with names that climb out of it", "scored, nothing written by those names")


# -- calls that are no calls ------------------------------------------------------------------------

WRONG: dict[str, tuple[str | int, list[Any]]] = {
    "methods that are none": ("separate", ["SONG", ["mix", "../../x"], 0, None]),
    "methods that are a text": ("separate", ["SONG", "mix", 0, None]),
    "methods that are a number": ("separate", ["SONG", 7, 0, None]),
    "ten thousand methods": ("separate", ["SONG", ["mix"] * 10000, 0, None]),
    "NaN for a start": ("separate", ["SONG", ["mix"], float("nan"), None]),
    "infinity for a start": ("separate", ["SONG", ["mix"], float("inf"), None]),
    "a start before the beginning": ("separate", ["SONG", ["mix"], -1, None]),
    "a start after the end": ("separate", ["SONG", ["mix"], 1e300, None]),
    "NaN for a length": ("separate", ["SONG", ["mix"], 0, float("nan")]),
    "an oracle without the truth": ("separate", ["SONG", ["irm"], 0, None]),
    "no file": ("separate", [None, ["mix"], 0, None]),
    "a number for a file": ("separate", [7, ["mix"], 0, None]),
    "a folder for a file": ("separate", [file("/"), ["mix"], 0, None]),
    "no arguments": ("separate", []),
    "too many arguments": ("separate", ["SONG"] * 40),
    "a function that is not there": (999, []),
    "a function below zero": (-1, []),
    "an order for keep that is no JSON": ("keep", ["x", "{"]),
    "an order for keep that is very deep": ("keep", ["x", "[" * 100000]),
    "a gain for keep that is very large": ("keep", ["x", '{"gains": {"vocals": 1%s}}' % ("0" * 400)]),
    "weights that are a path": ("separate_1", page("SONG", **{"open-unmix": "/etc"})),
    "a thousand million iterations": ("separate_1", page("SONG", ("open-unmix",), iterations=1e9)),
    "infinitely many shifts": ("separate_1", page("SONG", ("demucs",), shifts=float("inf"))),
    "a kind of song that is none": ("separate_1", page("SONG", kind="../../etc")),
    "a sample that is a path": ("separate_1", page(None, kind="sample", sample="../../../secret")),
}


@pytest.mark.parametrize("kind", WRONG)
def test_invalid_api_calls_are_refused(
    kind: str, studio: Server, visitor: Visitor, record_attack: RecordAttack
) -> None:
    name, data = WRONG[kind]
    song = visitor.upload("song.wav", wav())
    values = [song if value == "SONG" else value for value in data]
    answer = visitor.separate(values) if name == "separate_1" else visitor.ask(name, *values)
    assert_reveals_nothing(str(answer), studio.folder)
    said = answer.error if answer.error is not None else str(answer.output)
    assert answer.error is not None or "did not work" in said or "could be separated" in said, said
    record_attack(f"a call with {kind}", said[:150].replace("\n", " ") or "refused")


#: Endpoint, arguments, and the beginning of the expected message.
WRONG_TYPES: list[tuple[str, list[Any], str]] = [
    ("separate", ["SONG", ["mix"], "soon", None], "start must be a number of seconds, 0 or more, not the text 'soon'"),
    ("separate", ["SONG", ["mix"], float("nan"), None], "start must be a number of seconds, 0 or more, not NaN"),
    ("separate", ["SONG", ["mix"], 0, True], "duration must be a number of seconds"),
    ("separate", ["SONG", "mix", 0, None], "methods must be a list of names of methods"),
    ("separate", ["SONG", 7, 0, None], "methods must be a list"),
    ("separate", ["SONG", [["mix"]], 0, None], "methods must be a list"),
    ("separate", [7, ["mix"], 0, None], "audio must be an uploaded sound file, not 7"),
    ("separate", [["SONG"], ["mix"], 0, None], "audio must be an uploaded sound file"),
    ("separate", [{"path": 7}, ["mix"], 0, None], "audio must be an uploaded sound file"),
    ("submit", ["SONG", "mix", 0, None], "methods must be a list of names of methods"),
    ("job", [7], "token must be the token of a job, not 7"),
    ("separate", [], "separate needs 4 arguments: audio, methods, start, duration"),
    ("separate", ["SONG", ["mix"], 0, None, 7], "references must be an uploaded ZIP of sound files, or null, not 7"),
    ("submit", ["SONG", ["mix"], 0, None, None, "all"], "metrics must be a list of metrics, out of bleedless"),
    ("score", ["SONG", "SONG", [["fullness"]]], "metrics must be a list of metrics, out of bleedless"),
    ("score", [True, "SONG"], "references must be an uploaded ZIP of sound files, not true"),
    ("score", ["SONG", "stems.zip"], "estimates must be an uploaded ZIP of sound files, not the text 'stems.zip'"),
]


def test_a_wrong_type_gets_a_sentence_that_names_the_argument(
    studio: Server, visitor: Visitor, record_attack: RecordAttack
) -> None:
    song = visitor.upload("song.wav", wav())
    for name, data, wanted in WRONG_TYPES:
        answer = visitor.ask(name, *(song if value == "SONG" else value for value in data))
        assert refusal_message(answer, studio.folder).startswith(wanted)
        record_attack(f"{name} with a wrong type", wanted)


def test_a_long_title_full_of_html_stays_text(studio: Server, visitor: Visitor, record_attack: RecordAttack) -> None:
    song, stems = visitor.upload("song.wav", wav()), visitor.upload("stems.zip", zipped({"vocals.wav": wav()}))
    answer = visitor.separate(page(song, (), estimates=[stems], yours="<script>alert(1)</script>" * 10000))
    assert "<script>" not in str(answer)
    assert len(str(answer)) < 100_000
    record_attack("a title of 250 kB with scripts", "cut to 40 letters and escaped")
    for folder in (studio.folder / f"stemscope-{os.getuid()}").glob("*/"):
        shutil.rmtree(folder)
