#!/bin/sh
# Train the bundled models with two single-threaded processes at a time. Called by `make train-bundled`, which sets
# DATA and PYTHON. When it is called again, finished runs end at once and the others resume.
set -eu
models=assets/models
runs=runs
export OMP_NUM_THREADS=1

# A dataset of folders needs <track>/vocals.ogg for each solo voice.
mkdir -p $runs/singing
for voice in "$DATA"/singing/*.ogg; do
    track=$runs/singing/$(basename "$voice" .ogg)
    mkdir -p "$track"
    ln -sf "$(realpath "$voice")" "$track/vocals.ogg"
done

train() { # method config.toml run [options]
    method=$1 config=$2 run=$3
    shift 3
    "$PYTHON" -m separation train "$method" --config "$models/$method-compact/$config" --out "$runs/$run" --resume \
        --root "$DATA/musdb18-7s" --root "$DATA/cc0-album" --root "$DATA/musicdelta" --root $runs/singing "$@"
}

both() { # wait for two jobs; fail if either failed
    wait "$1"
    wait "$2"
}

train open-unmix 1-plain.toml open-unmix-1 & job=$!
train demucs demucs.toml demucs-1 & both $job $!
train open-unmix 2-augmented.toml open-unmix-2 --target bass --init $runs/open-unmix-1 & job=$!
train open-unmix 2-augmented.toml open-unmix-2 --target other --init $runs/open-unmix-1 & both $job $!
train open-unmix 3-drums.toml open-unmix-3 --target drums --init $runs/open-unmix-1
