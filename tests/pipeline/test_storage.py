"""Songs and results in an object store: an S3 server on this machine."""

from __future__ import annotations

import json
import pickle
import threading
import time
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import pytest

from separation.pipeline import claims
from separation.pipeline.batch import Job, JobOptions, find_jobs, separate_song
from separation.pipeline.claims import claim
from separation.pipeline.storage import Content, Location, Url, location
from tests.cli.helpers import SOURCES, error_line, separation, write_song

MIX = JobOptions(method="mix", command="python -m separation")


@pytest.fixture
def song(tmp_path: Path) -> Path:
    write_song(tmp_path / "a.wav")
    return tmp_path / "a.wav"


def upload(song: Path, place: Url) -> Url:
    place.upload(song)
    return place


def job(file: Location, out: Location, options: JobOptions = MIX) -> Job:
    (found,) = find_jobs([file], out, options)
    return found


def content(folder: Location) -> dict[str, bytes]:
    """The files of a result; its times and where it was, left out."""
    names = sorted(folder.names() if isinstance(folder, Url) else {path.name for path in folder.iterdir()})
    files = {}
    for name in names:
        place = folder / name
        files[name] = place.read_bytes() if isinstance(place, Path) else place._storage[0].cat_file(place._storage[1])
    card = json.loads(files.pop("result.json"))
    for name in ("seconds", "real_time_factor", "input"):
        del card[name]
    del card["asked"]["modified"]
    return files | {"result.json": json.dumps(card).encode()}


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("music/a.wav", Path("music/a.wav")),
        ("file:///music/my%20song.wav", Path("/music/my song.wav")),
        ("s3://bucket/music", Url("s3://bucket/music")),
        ("a: b/c.wav", Path("a: b/c.wav")),
    ],
)
def test_locations_are_paths_or_urls(text: str, place: Location) -> None:
    assert location(text) == place


def test_names_and_files_of_a_url(bucket: Url, song: Path) -> None:
    place = upload(song, bucket / "music" / "disc 1" / "My #1 song?.wav")
    assert (place.name, place.stem) == ("My #1 song?.wav", "My #1 song?")
    assert place.is_file() and not place.is_dir()
    assert (bucket / "music").is_dir() and not (bucket / "music").is_file()
    assert [str(file) for file in (bucket / "music").files()] == ["disc 1/My #1 song?.wav"]
    assert (bucket / "music" / "disc 1").names() == {"My #1 song?.wav"}
    assert place.stat().st_size == song.stat().st_size
    assert pickle.loads(pickle.dumps(place)) == place
    place.unlink()
    place.unlink()
    assert not (bucket / "music").is_dir()
    with pytest.raises(FileNotFoundError):
        place.stat()


def test_any_file_system_of_fsspec_states_when_a_file_changed_if_it_can(song: Path) -> None:
    state = Url(f"local://{song}").stat()
    assert state.st_size == song.stat().st_size
    assert state.st_mtime_ns == pytest.approx(song.stat().st_mtime_ns, abs=1000)
    memory = Url("memory://music/a.wav")
    memory.write(b"sound")
    assert memory.stat().st_mtime_ns > 0
    handler = partial(SimpleHTTPRequestHandler, directory=str(song.parent))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        found = separate_song(job(Url(f"http://127.0.0.1:{server.server_port}/a.wav"), song.parent / "out"))
        server.shutdown()
    assert found.error is None


def test_a_web_address_gives_its_file_name_without_the_query(song: Path, tmp_path: Path) -> None:
    song.rename(tmp_path / "my song.wav")
    handler = partial(SimpleHTTPRequestHandler, directory=str(tmp_path))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}/my%20song.wav?signature=a/b%2Fc"
        found = separate_song(job(Url(address), tmp_path / "out"))
        server.shutdown()
    assert found.error is None
    assert (tmp_path / "out" / "my song" / "mix" / "vocals.wav").is_file()
    assert Url("s3://bucket/50%25?.wav").name == "50%25?.wav"  # names in object stores are not encoded


def test_a_song_in_an_object_store_gives_the_same_result_there(bucket: Url, song: Path, tmp_path: Path) -> None:
    here = separate_song(job(song, tmp_path / "out"))
    there = separate_song(job(upload(song, bucket / "in" / "a.wav"), bucket / "out"))
    assert there.error is None and there.document is not None and here.document is not None
    assert content(bucket / "out" / "a" / "mix") == content(tmp_path / "out" / "a" / "mix")
    assert there.document["input"] == f"{bucket}/in/a.wav"
    assert there.document["stems"] == {source: f"{bucket}/out/a/mix/{source}.wav" for source in SOURCES}
    assert there.document["card"] == f"{bucket}/out/a/mix/result.json"
    assert there.document.keys() == here.document.keys()


def test_a_finished_song_in_an_object_store_is_skipped_until_it_changes(bucket: Url, song: Path) -> None:
    place = upload(song, bucket / "a.wav")
    first = separate_song(job(place, bucket / "out"))
    second = separate_song(job(place, bucket / "out"))
    assert (first.skipped, second.skipped) == (False, True)
    assert second.document == first.document
    (bucket / "out" / "a" / "mix" / "bass.wav").unlink()
    assert not separate_song(job(place, bucket / "out")).skipped
    write_song(song, seed=1, frames=30000)
    assert not separate_song(job(upload(song, place), bucket / "out")).skipped


def test_stems_of_earlier_results_are_kept_or_removed_as_in_a_folder(bucket: Url, song: Path) -> None:
    folder = bucket / "out" / "a" / "mix"
    for stems, names in ((("bass",), {"bass.wav"}), (("drums",), {"bass.wav", "drums.wav"})):
        outcome = separate_song(job(song, bucket / "out", JobOptions(method="mix", stems=stems)))
        assert outcome.error is None
        assert folder.names() == names | {"result.json"}
    card = json.loads((folder / "result.json").read_text("utf-8"))
    assert [list(earlier["stems"]) for earlier in card["earlier_results"]] == [["bass"]]
    separate_song(job(song, bucket / "out", JobOptions(method="mix", format="flac")))
    assert folder.names() == {"result.json", *(f"{source}.flac" for source in SOURCES)}


def test_foreign_files_in_an_object_store_are_never_replaced(bucket: Url, song: Path) -> None:
    mine = bucket / "out" / "a" / "mix" / "bass.wav"
    mine.write(b"mine")
    error = separate_song(job(song, bucket / "out")).error
    assert error is not None and error.startswith(f"{mine}: this file exists and is not listed in a result.json")
    assert (bucket / "out").names() == set()
    assert (bucket / "out" / "a" / "mix").names() == {"bass.wav"}


def test_an_upload_that_was_killed_is_replaced(bucket: Url, song: Path) -> None:
    folder = bucket / "out" / "a" / "mix"
    (folder / ".upload.json").write(b'["bass.wav", "drums.wav", "result.json"]')
    (folder / "bass.wav").write(b"half")
    assert separate_song(job(song, bucket / "out")).error is None
    assert folder.names() == {"result.json", *(f"{source}.wav" for source in SOURCES)}


def test_an_upload_that_fails_leaves_nothing(bucket: Url, song: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    upload_one = Url.upload

    def fail(self: Url, file: Path) -> None:
        if file.name == "vocals.wav":
            raise OSError(28, "No space left on device", str(self))
        upload_one(self, file)

    monkeypatch.setattr(Url, "upload", fail)
    error = separate_song(job(song, bucket / "out")).error
    assert error == f"{bucket}/out/a/mix/vocals.wav: No space left on device"
    assert (bucket / "out").files() == []


def test_the_command_line_takes_urls(bucket: Url, song: Path) -> None:
    upload(song, bucket / "in" / "disc" / "a.wav")
    (bucket / "in" / "bad.wav").write(b"no sound")
    (bucket / "in" / ".hidden.wav").write(b"no sound")
    outcome = separation("separate", f"{bucket}/in", "-m", "mix", "--out", f"{bucket}/out", "--json")
    assert outcome.code == 1
    assert [result["input"] for result in outcome.document["results"]] == [f"{bucket}/in/disc/a.wav"]
    (failed,) = outcome.document["failed"]
    assert failed["input"] == f"{bucket}/in/bad.wav"
    assert "cannot read 'bad.wav'" in failed["error"]
    assert (bucket / "out" / "disc" / "a" / "mix" / "result.json").is_file()


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ("s3://no-such-bucket-here/music", "s3://no-such-bucket-here/music: No such file or directory"),
        ("nothing://host/a.wav", "nothing://host/a.wav: Protocol not known: nothing"),
        ("ftp://127.0.0.1:9/a.wav", "ftp://127.0.0.1:9/a.wav: Connection refused"),
        ("s3://", "s3://: Cannot traverse all of S3"),
    ],
)
def test_storage_that_cannot_be_reached_is_named(s3_endpoint: str, files: str, message: str, tmp_path: Path) -> None:
    assert message in error_line(separation("separate", files, "-m", "mix", "--out", tmp_path))


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (
            ImportError("Install s3fs to access S3"),
            "Install s3fs to access S3: in the project's folder, run pip install '.[s3]'",
        ),
        (
            ImportError("Please install gcsfs to access Google Storage"),
            "Please install gcsfs to access Google Storage",
        ),
        (RuntimeError("refused\n  by the server"), "refused by the server"),
        (RuntimeError(), "RuntimeError"),
    ],
)
def test_every_error_of_a_storage_is_one_line_that_names_the_url(
    monkeypatch: pytest.MonkeyPatch, error: Exception, message: str
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("fsspec.core.url_to_fs", fail)
    with pytest.raises(OSError) as raised:
        Url("odd://host/a.wav").is_dir()
    assert (raised.value.filename, raised.value.strerror) == ("odd://host/a.wav", message)


def test_an_oracle_of_a_url_is_refused(tmp_path: Path) -> None:
    outcome = separation("separate", "s3://bucket/mixture.wav", "-m", "irm", "--out", tmp_path)
    assert "irm reads the true sources next to the mixture: give a local file" in error_line(outcome)


def test_content_takes_the_place_of_a_file(tmp_path: Path, song: Path) -> None:
    sent = Content("../My song.wav", song.read_bytes())
    (Path(tmp_path / "in")).mkdir()
    outcome = separate_song(Job(file=sent, folder=tmp_path / "out" / "mix", options=MIX))
    assert outcome.document is not None
    assert outcome.document["input"] == "../My song.wav"
    assert separate_song(Job(file=sent, folder=tmp_path / "out" / "mix", options=MIX)).skipped
    write_song(song, seed=1)
    other = Content("../My song.wav", song.read_bytes())
    assert not separate_song(Job(file=other, folder=tmp_path / "out" / "mix", options=MIX)).skipped


# -- claims ----------------------------------------------------------------------------------------


@pytest.fixture(params=["folder", "object store"])
def place(request: pytest.FixtureRequest, tmp_path: Path, bucket: Url) -> Location:
    root: Location = tmp_path if request.param == "folder" else bucket
    return root / "out" / "a" / "mix"


def test_a_claim_makes_others_wait(place: Location) -> None:
    events: list[str] = []
    waits = threading.Event()

    def second() -> None:
        with claim(place, waiting=waits.set):
            events.append("second")

    thread = threading.Thread(target=second)
    with claim(place):
        thread.start()
        assert waits.wait(60)
        events.append("first")
    thread.join(60)
    assert events == ["first", "second"]
    root = place.parent.parent.parent if isinstance(place, Path) else Url(place.url.removesuffix("/a/mix"))
    files = [file for file in root.rglob("*") if file.is_file()] if isinstance(root, Path) else root.files()
    assert files == []


def test_waiting_for_a_claim_can_be_given_up(place: Location) -> None:
    def give_up() -> None:
        raise RuntimeError("enough")

    with claim(place), pytest.raises(RuntimeError, match="enough"), claim(place, waiting=give_up):
        pass
    with claim(place):
        pass


def test_a_claim_in_an_object_store_expires_unless_it_is_renewed(bucket: Url, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a clock that only sleeping advances, so that a busy machine makes no difference."""
    place, now, is_alive = bucket / "a" / ".mix.claim", 0.0, False

    def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds
        seen = place.read_text("utf-8")
        end = time.monotonic() + 10
        while is_alive and place.read_text("utf-8") == seen and time.monotonic() < end:  # until the holder renews it
            time.sleep(0.01)

    monkeypatch.setattr(claims, "time", SimpleNamespace(monotonic=lambda: now, sleep=sleep))
    monkeypatch.setattr(claims, "_POLL_SECONDS", 13.0)
    monkeypatch.setattr(claims, "_RENEW_SECONDS", 0.05)
    place.write(b"of a dead worker")
    with claim(bucket / "a" / "mix"):
        began, is_alive = now, True
        assert began > claims._EXPIRE_SECONDS

        def give_up() -> None:
            if now - began > 2 * claims._EXPIRE_SECONDS:
                raise RuntimeError("it was renewed")

        with pytest.raises(RuntimeError, match="it was renewed"), claim(bucket / "a" / "mix", waiting=give_up):
            pass
