#!/bin/sh
# Installs what the tests of the netem backend need: a Linux kernel that has sch_netem and runs as a process.
# Does nothing where it is there already; the tests skip, with the reason, where it cannot be had.
set -u
command -v linux.uml >/dev/null 2>&1 && command -v insmod >/dev/null 2>&1 && exit 0
if ! command -v apt-get >/dev/null 2>&1 || [ "$(id -u)" != 0 ]; then
    echo "user-mode-linux is not installed: that takes apt-get and root; the tests on a live sch_netem will skip"
    exit 0
fi
packages="user-mode-linux kmod"
apt-get install -y -q --no-install-recommends $packages >/dev/null 2>&1 ||
    { apt-get update -q >/dev/null 2>&1 && apt-get install -y -q --no-install-recommends $packages >/dev/null 2>&1; } ||
    echo "user-mode-linux cannot be had from this host's package archive; the tests on a live sch_netem will skip"
exit 0
