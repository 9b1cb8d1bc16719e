# Each target sets up what it needs first. On a bare Debian machine `make app` and `make test` are enough.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

# Idle OpenMP threads that spin slow busy machines down many times over.
export OMP_WAIT_POLICY = PASSIVE

.PHONY: app test test-all test-space test-trust lint format docs notebooks samples train-bundled results benchmarks screenshots gpu-check clean

app: $(VENV)/app.stamp
	$(BIN)/python -u app.py

# Three test processes keep two cores busy: many tests wait for a server, a browser or a worker, and four were no faster.
# One thread each: on small inputs, two threads take twice as long as one.
WORKERS ?= 3
test: lint chromium ffmpeg
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder -m "not slow"

# Everything, with what takes minutes or gigabytes: an hour of audio per method, notebooks on MUSDB18, load, the Space.
test-all: lint chromium ffmpeg
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder

# Starts the app as a Hugging Face Space would: an environment of its own (minutes, 6 GB), everything read-only.
SPACE_PYTHON ?= python3.12
test-space: $(VENV)/dev.stamp
	SPACE_PYTHON="$(SPACE_PYTHON)" $(BIN)/python -m pytest tests/test_space.py

# Hostile input, load, faults, isolation: a line for each attack or fault, and what came of it.
TRUST := tests/trust tests/audio/test_decoding.py tests/audio/test_integrity.py tests/audio/test_mutations.py tests/audio/test_playlists.py tests/weights tests/studio/inputs/test_songs.py \
	tests/studio/jobs/test_queue.py tests/training/test_run_folder.py tests/training/test_kill.py \
	tests/pipeline/test_to_folder.py::test_a_full_disk_leaves_a_complete_result_or_none \
	tests/cli/test_separate.py::test_a_full_disk_is_reported_in_one_line tests/cli/test_separate.py::test_sigterm_leaves_no_partial_result \
	tests/evaluation/test_evaluate.py::test_a_track_that_kills_its_workers_fails_alone \
	tests/evaluation/test_evaluate.py::test_a_killed_run_resumes
test-trust: $(VENV)/dev.stamp ffmpeg
	$(BIN)/python -m pytest -q -p tests.trust.report $(TRUST)

lint: $(VENV)/dev.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/dev.stamp
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Pages of all docstrings: open build/docs/index.html.
docs: $(VENV)/dev.stamp
	$(BIN)/python -m docs.render build/docs

# Runs all notebooks again and keeps what they show: on the sample tracks, whose sounds may be published.
notebooks: $(VENV)/dev.stamp
	env -u MUSDB_ROOT PATH="$(CURDIR)/$(BIN):$$PATH" PYTHONPATH="$(CURDIR)" PYTHONWARNINGS="ignore:IProgress not found" \
		$(BIN)/jupyter-execute --inplace notebooks/*.ipynb

samples: $(VENV)/app.stamp
	$(BIN)/python -m tools.samples

# Trains the bundled models anew: DATA is a folder with musdb18-7s, cc0-album, musicdelta and singing.
# Some four hours of two cores; kill it and run it again to go on where it stopped.
# The C library keeps freed memory: small networks' steps are then up to 2.5 times as fast.
train-bundled: $(VENV)/app.stamp
	$(if $(DATA),,$(error say where the data is: make train-bundled DATA=FOLDER))
	DATA="$(DATA)" PYTHON="$(BIN)/python" MALLOC_MMAP_MAX_=0 MALLOC_TRIM_THRESHOLD_=100000000000 \
		MALLOC_TOP_PAD_=500000000 sh tools/train_bundled.sh
	$(BIN)/python -m tools.bundle_models --runs runs --data "$(DATA)"

# What the tables and the figure of quality show: every offline method on the test tracks of ROOT, a MUSDB18 folder.
# Finished tracks are kept in runs/results: remove it to begin again.
METHODS := best-offline fast open-unmix demucs spleeter mix hpss ica irm ibm mwf
results: $(VENV)/app.stamp
	$(if $(ROOT),,$(error say where MUSDB18 is: make results ROOT=FOLDER))
	for one in $(METHODS); do \
		$(BIN)/python -m separation evaluate --root "$(ROOT)" --subset test --method $$one --out runs/results --jobs 2 || exit 1; \
	done
	mkdir -p assets/results
	awk 'FNR > 1 || NR == 1' $(METHODS:%=runs/results/%/summary.csv) > assets/results/musdb18-test.csv
	$(BIN)/python -m separation plot $(METHODS:%=runs/results/%) --out assets/results/violins.png
	$(BIN)/python -m tools.results_table
	$(BIN)/python -m tools.catalogue_table

# Side by side with upstream's packages; ROOT is a MUSDB18 folder (the 7 s clips are enough). Prints JSON, a
# document for each of ONLY: evaluation, separation, training, processes, studio, load.
ONLY ?= evaluation separation training processes studio load
benchmarks: $(VENV)/dev.stamp ffmpeg
	$(if $(ROOT),,$(error say where MUSDB18 is: make benchmarks ROOT=FOLDER))
	@for one in $(ONLY); do $(BIN)/python -m tests.benchmarks.$$one --root "$(ROOT)" || exit 1; done

# Every page and state of the studio, light and dark, phone and desktop, into build/screenshots; those that the
# documents show, into assets/images. Look at them before they are committed.
screenshots: $(VENV)/dev.stamp chromium
	$(BIN)/python -m tools.screenshots

# Training, separation and BSSEval on a GPU, in at most eight minutes; needs no data. Without a GPU, a small run on the CPU.
gpu-check: $(VENV)/dev.stamp
	@$(BIN)/python -m tests.benchmarks.gpu

clean:
	rm -rf $(VENV) build runs .mypy_cache .ruff_cache .pytest_cache

# -- set-up ---------------------------------------------------------------------------------------

$(VENV)/app.stamp: requirements.txt
	@$(MAKE) --no-print-directory venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@touch $@

$(VENV)/dev.stamp: requirements.txt requirements-dev.txt
	@$(MAKE) --no-print-directory venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@touch $@ $(VENV)/app.stamp

# Install a Debian package if its command is missing and this user may.
APT = if [ "$$(id -u)" = 0 ]; then sudo=; elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then sudo="sudo -n"; else sudo=no; fi; \
	if [ "$$sudo" = no ] || ! command -v apt-get >/dev/null; then false; \
	else echo "installing $(1)" >&2; $$sudo apt-get update -qq >&2 && DEBIAN_FRONTEND=noninteractive $$sudo apt-get install -y -qq $(1) >/dev/null; fi

.PHONY: venv ffmpeg chromium
venv:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))' 2>/dev/null || \
		{ command -v $(PYTHON) >/dev/null || { $(call APT,python3 python3-venv); }; } || true
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))' || \
		{ echo "Python 3.11 or 3.12 is needed; say which: make PYTHON=python3.12 app" >&2; exit 1; }
	@test -x $(BIN)/python -a -e $(BIN)/pip || $(PYTHON) -m venv $(VENV) 2>/dev/null || \
		{ rm -rf $(VENV); { $(call APT,python3-venv); } && $(PYTHON) -m venv $(VENV); }

ffmpeg:
	@command -v ffprobe >/dev/null || { $(call APT,ffmpeg); } || \
		echo "ffmpeg is missing and could not be installed: tests that compare with it will fail" >&2

# Chromium without windows, which opens a page with a third less work; the whole one does as well.
# libatomic1 is what playwright's own Node.js needs and a minimal Debian lacks.
chromium:
	@{ command -v chromium-headless-shell >/dev/null && /sbin/ldconfig -p | grep -q libatomic.so.1; } || \
		{ $(call APT,chromium-headless-shell libatomic1); } || command -v chromium >/dev/null || \
		echo "Chromium is missing and could not be installed: the browser tests will be skipped" >&2
