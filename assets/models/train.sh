#!/bin/sh
# Trains the bundled models, two processes of one thread at a time; called by `make train-bundled`, which says
# where DATA and PYTHON are. Finished runs end at once when it is called again, the others go on.
set -eu
models=assets/models
runs=runs
export OMP_NUM_THREADS=1

# Voices without a song: <track>/vocals.ogg is what a data set of folders looks like.
mkdir -p $runs/singing
for voice in "$DATA"/singing/*.ogg; do
    track=$runs/singing/$(basename "$voice" .ogg)
    mkdir -p "$track"
    ln -sf "$(realpath "$voice")" "$track/vocals.ogg"
done

train() { # recipe config.toml run [more]
    recipe=$1 config=$2 run=$3
    shift 3
    "$PYTHON" -m separation train "$recipe" --config "$models/$recipe-compact/$config" --out "$runs/$run" --resume \
        --root "$DATA/musdb18-7s" --root "$DATA/cc0-album" --root "$DATA/musicdelta" --root $runs/singing "$@"
}

both() { # wait for two jobs and fail if one did
    wait "$1"
    wait "$2"
}

train open-unmix 1-plain.toml open-unmix-1 & job=$!
train demucs demucs.toml demucs-1 & both $job $!
train open-unmix 2-augmented.toml open-unmix-2 --target bass --init $runs/open-unmix-1 & job=$!
train open-unmix 2-augmented.toml open-unmix-2 --target other --init $runs/open-unmix-1 & both $job $!
train open-unmix 3-drums.toml open-unmix-3 --target drums --init $runs/open-unmix-1
