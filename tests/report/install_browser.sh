#!/bin/sh
# Chromium, in which tests/report/test_report_browser.py opens our pages: from Debian, where that is possible.
# Never fails: the tests say why they are skipped.
command -v chromium >/dev/null && exit 0
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "chromium is not installed: install it (needs root and apt) to have the pages opened in a real browser"
    exit 0
fi
echo "installing chromium, for the tests of the pages"
export DEBIAN_FRONTEND=noninteractive
{ apt-get update -q && apt-get install -q -y --no-install-recommends chromium; } >/dev/null 2>&1 ||
    echo "chromium could not be installed"
exit 0
