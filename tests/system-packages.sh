#!/bin/sh
# The programs that the tests play our streams with; with "browsers" as an argument, the browsers too.
# As root on Debian they are installed; elsewhere this says what is missing.
set -eu

missing=""
need() { # need COMMAND PACKAGE…
    command -v "$1" >/dev/null 2>&1 || { shift; missing="$missing $*"; }
}

need ffmpeg ffmpeg
need cvlc vlc-bin vlc-plugin-base
need gst-launch-1.0 gstreamer1.0-tools gstreamer1.0-plugins-base gstreamer1.0-plugins-good \
    gstreamer1.0-plugins-bad gstreamer1.0-plugins-ugly gstreamer1.0-libav gstreamer1.0-rtsp
need ip iproute2
need iptables iptables
need openssl openssl
need Xvfb xvfb
need xdotool xdotool
need import imagemagick
need xprop x11-utils
need pulseaudio pulseaudio
need parec pulseaudio-utils
if [ "${1:-}" = browsers ]; then
    need chromium chromium
    need firefox-esr firefox-esr
fi
if ! /usr/bin/python3 -c 'import gi; gi.require_version("GstRtspServer", "1.0")' 2>/dev/null; then
    missing="$missing python3-gi gir1.2-gst-rtsp-server-1.0"
fi

[ -z "$missing" ] && exit 0

if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "Installing what the tests play with:$missing"
    apt-get update -qq
    # shellcheck disable=SC2086  # a list of packages is meant
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
else
    echo "Missing for the tests (Debian's names):$missing" >&2
    exit 1
fi
