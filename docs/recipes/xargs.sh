#!/bin/sh
# Score the images of a folder, four processes at a time: xargs.sh NIGHT RESULTS
# Ends with 123 if an image failed; the rest are scored all the same.
set -eu
night=$1
results=$2
mkdir -p "$results"
export results
# shellcheck disable=SC2016 # the inner shell fills in what is in single quotes
find "$night" -name '*.fits' -print0 |
    xargs -0 -P 4 -I '{}' sh -c '
        name=$(basename "$1" .fits)
        exec rbinfer classify "$1" -o "$results/$name.ecsv" --overwrite --threads 1 -q
    ' sh '{}'
