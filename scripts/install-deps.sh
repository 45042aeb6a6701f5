#!/bin/sh
# Installs what the demo needs beside Rust: Debian packages. With `test`, Rust's own tools too; with `bench`, what the
# benchmark needs. Does nothing where all of it is there. No service is left running or enabled.
set -eu

PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
modules=/usr/lib/nginx/modules

# A program or file that must be there, and the package it comes from.
needed="
cc gcc
nginx nginx
$modules/ngx_stream_module.so libnginx-mod-stream
/usr/sbin/php-fpm* php-fpm
prometheus prometheus
promtool prometheus
openssl openssl
ip iproute2
mount mount
unshare util-linux
"
[ "${1-}" != bench ] || needed="$needed
mtail mtail
"

is_there() {
    case $1 in
    # Unquoted on purpose: a pattern stands for any match.
    /*) ls -d $1 >/dev/null 2>&1 ;;
    *) command -v "$1" >/dev/null 2>&1 ;;
    esac
}

services() {
    ls /lib/systemd/system 2>/dev/null | grep '[^@]\.service$' || true
}

missing=$(set -f; echo "$needed" | while read -r what package; do
    set +f
    [ -z "$what" ] || is_there "$what" || echo "$package"
done | sort -u | tr '\n' ' ')

if [ -n "$missing" ]; then
    if [ "$(id -u)" = 0 ]; then as_root=
    elif command -v sudo >/dev/null 2>&1; then as_root=sudo
    else
        echo "Missing: $missing- and neither root nor sudo here. As root: apt-get update && apt-get install $missing" >&2
        exit 1
    fi
    echo "Installing $missing"
    # Debian starts a service as soon as its package is installed, unless this file says no.
    policy=/usr/sbin/policy-rc.d
    if [ ! -e $policy ]; then
        trap '$as_root rm -f $policy' EXIT
        trap 'exit 1' HUP INT TERM
        printf '#!/bin/sh\nexit 101\n' | $as_root tee $policy >/dev/null
        $as_root chmod 755 $policy
    fi
    services_before=$(services)
    $as_root apt-get update -qq
    # shellcheck disable=SC2086 # several packages
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -qq --yes --no-install-recommends $missing >/dev/null
    # Nor at the next boot: what was installed just now, and nothing else.
    if [ -d /run/systemd/system ]; then
        services | grep -vxF "$services_before" | xargs -r $as_root systemctl disable --quiet
    fi
fi

[ "${1-}" = test ] || exit 0
for component in rustfmt clippy; do
    case $component in rustfmt) tool=fmt ;; *) tool=$component ;; esac
    cargo $tool --version >/dev/null 2>&1 || rustup component add --quiet $component
done
if ! cargo deny --version >/dev/null 2>&1; then
    echo "Building cargo-deny: once, some minutes"
    cargo install --quiet --locked cargo-deny@0.20.2
fi
