#!/bin/sh
# Installs what the tests of a board at the other end of ssh need: OpenSSH's server, which they start themselves, in a
# namespace of their own. The package's own service is not started, and no port of this host is opened.
# Does nothing where it is there already; the tests skip, with the reason, where it cannot be had.
set -u
[ -x /usr/sbin/sshd ] && command -v ssh >/dev/null 2>&1 && exit 0
if ! command -v apt-get >/dev/null 2>&1 || [ "$(id -u)" != 0 ]; then
    echo "openssh-server is not installed: that takes apt-get and root; the tests of a board behind ssh will skip"
    exit 0
fi
# What starts services asks this file first (invoke-rc.d(8)).
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' >"$policy" && chmod +x "$policy"
    trap 'rm -f "$policy"' EXIT
fi
packages="openssh-server openssh-client"
apt-get install -y -q --no-install-recommends $packages >/dev/null 2>&1 ||
    { apt-get update -q >/dev/null 2>&1 && apt-get install -y -q --no-install-recommends $packages >/dev/null 2>&1; } ||
    echo "openssh-server cannot be had from this host's package archive; the tests of a board behind ssh will skip"
exit 0
