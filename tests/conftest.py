"""Fixtures for all tests: real music, if available, and the sample tracks."""

from __future__ import annotations

import gc
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from xdist.scheduler import LoadFileScheduling

if TYPE_CHECKING:  # the process that hands out the tests runs none, and importing torch takes seconds
    import torch

    from separation.audio.signal import Audio

pytest_plugins = ("tests.shared_storage",)

#: What the tests themselves read. All other settings of the studio are for the tests to choose.
OURS = ("STEMSCOPE_DATA", "STEMSCOPE_TEST_PATIENCE")
for _name in list(os.environ):
    if (_name.startswith(("STEMSCOPE_", "GRADIO_")) or _name == "PORT") and _name not in OURS:
        del os.environ[_name]  # before any module of the project reads it

ROOT = Path(__file__).resolve().parent.parent
DATA = Path(os.environ.get("STEMSCOPE_DATA", ROOT.parent / "shared" / "data"))
SAMPLES = ROOT / "assets" / "samples"
GOLDEN = Path(__file__).parent / "golden"


#: What takes longest, first: a process that starts one of them last would keep the others waiting.
LONGEST = (
    "test_browser.py",
    "test_browser_player.py",
    "trust",  # a folder that is one scope
    "test_browser_jobs.py",
    "test_browser_refusals.py",
    "test_browser_pages.py",
    "test_api.py",
    "test_evaluate.py",
    "test_htdemucs.py",
    "test_cluster.py",
    "test_session.py",
    "test_bss_eval.py",
    "test_kill.py",
    "test_trainer.py",
    "test_notebooks.py",
    "test_any_length.py",
    "test_distributed.py",
    "test_score_pages.py",
    "test_speakers.py",
    "test_bad_sets.py",
    "test_onednn.py",
    "test_own_method.py",
    "test_jobs.py",
    "test_formats.py",
    "test_level.py",
    "test_base.py",
    "test_command.py",
    "test_job_control.py",
    "test_downloads.py",
    "test_zero_gpu.py",
)


#: Files that share one studio and one browser run in one process. There are two such groups, which run side by side:
#: these files, whose tests look at one result, and the others of the browser and the API.
RESULT = ("test_browser.py", "test_browser_player.py", "test_browser_look.py", "test_browser_pages.py")


def group(file: str) -> str:
    """Return what runs in one process, for a file relative to the project: by default the file itself."""
    folder, _, name = file.rpartition("/")
    if folder == "tests/trust":  # they share one studio, with low limits
        return "trust"
    if folder == "tests/studio" and name.startswith(("test_browser", "test_api")):
        return "result" if name in RESULT else "jobs"
    return file


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the longest files first."""

    def place(item: pytest.Item) -> int:
        name = "trust" if item.path.parent.name == "trust" else item.path.name
        return LONGEST.index(name) if name in LONGEST else len(LONGEST)

    items.sort(key=place)


#: Importing torch and Gradio and collecting thousands of tests makes many objects and no garbage.
gc.disable()


def pytest_collection_finish() -> None:
    """Enable garbage collection again, but exclude the objects that imports have created."""
    gc.freeze()
    gc.enable()


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadFileScheduling:
    """Run each file in one process."""

    class Scheduling(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return group(super()._split_scope(nodeid))

    return Scheduling(config, log)


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """Real recordings that are not part of the project."""
    if not DATA.is_dir():
        pytest.skip("no folder with recordings: set STEMSCOPE_DATA to one with real-song.mp3 and musdb18-7s")
    return DATA


@pytest.fixture(scope="session")
def real_song_path(data_folder: Path) -> Path:
    path = data_folder / "real-song.mp3"
    if not path.is_file():
        pytest.skip(f"no {path.name} among the recordings")
    return path


@pytest.fixture(scope="session")
def real_song(real_song_path: Path) -> Audio:
    """20 s of full-rank stereo music."""
    from separation.audio.files import read

    return read(real_song_path)


@pytest.fixture(scope="session")
def musdb_root(data_folder: Path) -> Path:
    root = data_folder / "musdb18-7s"
    if not root.is_dir():
        pytest.skip("no MUSDB18 clips among the recordings")
    return root


@pytest.fixture(scope="session")
def sample() -> Path:
    """The folder of a multitrack that comes with the project."""
    return SAMPLES / "night-drive"


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give every test its own cache folder, no mirror and no MUSDB18."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("SEPARATION_HOME", str(folder))
    for name in ("SEPARATION_MODELS_URL", "MUSDB_ROOT"):
        monkeypatch.delenv(name, raising=False)
    return folder


@pytest.fixture
def generator() -> torch.Generator:
    import torch

    return torch.Generator().manual_seed(0)


def snr(estimate: torch.Tensor, reference: torch.Tensor) -> float:
    """Energy of the reference over that of the difference, in dB."""
    import torch

    reference = reference.double()
    return float(10 * torch.log10(reference.square().sum() / (reference - estimate.double()).square().sum()))


def relative_error(estimate: torch.Tensor, reference: torch.Tensor) -> float:
    return float((estimate - reference).abs().square().sum().sqrt() / reference.abs().square().sum().sqrt())


@pytest.fixture
def listener() -> Iterator[tuple[int, list[str]]]:
    """Yield a port of this machine, and the list of connections made to it."""
    calls: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                calls.append("connected")
                connection.close()

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        yield server.getsockname()[1], calls
        server.shutdown(socket.SHUT_RDWR)  # which ends accept()
        thread.join(10)
    assert not thread.is_alive()
