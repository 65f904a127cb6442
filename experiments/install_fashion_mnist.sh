#!/bin/sh
# Gets Fashion-MNIST from the package archive of this Debian or Ubuntu: dataset-fashion-mnist (31 MB, MIT licence).
# As root it is installed, where dataset=fashion_mnist looks for it; else it is unpacked below FOLDER (default
# outputs/datasets), and the last line says what to give run.py.
set -eu
package=dataset-fashion-mnist
place=/usr/share/datasets/fashion-mnist
[ -f "$place/train-images-idx3-ubyte.gz" ] && { echo "dataset=fashion_mnist"; exit 0; }
command -v apt-get >/dev/null 2>&1 || { echo "error: no apt-get here; give the folder of the four files: dataset.path=FOLDER" >&2; exit 1; }
if [ "$(id -u)" = 0 ]; then
    apt-get install -y -q --no-install-recommends $package >/dev/null 2>&1 ||
        { apt-get update -q >/dev/null 2>&1 && apt-get install -y -q --no-install-recommends $package >/dev/null; }
    echo "dataset=fashion_mnist"
    exit 0
fi
mkdir -p "${1:-outputs/datasets}"
folder=$(cd "${1:-outputs/datasets}" && pwd)
(cd "$folder" && apt-get download -q $package >/dev/null && dpkg -x ${package}_*.deb . && rm ${package}_*.deb)
echo "dataset=fashion_mnist dataset.path=$folder$place"
