"""An RTSP server that is not ours and takes what is published: gst-rtsp-server in its RECORD mode.

    /usr/bin/python3 gst_recorder.py [--protocols any|udp|tcp] [--seconds 4]

Prints `rtsp://127.0.0.1:PORT/test` when it listens, waits for H.264 and AAC, and ends that long
after the first packet, or when its standard input does; prints then how many units of each came.
Needs the system's Python with gi and GstRtspServer 1.0.
"""

import argparse
import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtsp", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtsp, GstRtspServer  # noqa: E402

PROTOCOLS = {
    "any": GstRtsp.RTSPLowerTrans.UDP | GstRtsp.RTSPLowerTrans.TCP,
    "udp": GstRtsp.RTSPLowerTrans.UDP,
    "tcp": GstRtsp.RTSPLowerTrans.TCP,
}
SINK = "fakesink signal-handoffs=true"

parser = argparse.ArgumentParser()
parser.add_argument("--protocols", choices=PROTOCOLS, default="any")
parser.add_argument("--seconds", type=float, default=4)
options = parser.parse_args()

Gst.init(None)
loop = GLib.MainLoop()
units = {"picture": 0, "sound": 0}


def count(_sink, _buffer, _pad, kind):
    if not any(units.values()):
        GLib.timeout_add(int(1000 * options.seconds), loop.quit)
    units[kind] += 1


def configure(_factory, media):
    for kind in units:
        media.get_element().get_by_name(kind).connect("handoff", count, kind)


factory = GstRtspServer.RTSPMediaFactory()
factory.set_transport_mode(GstRtspServer.RTSPTransportMode.RECORD)
factory.set_launch(
    f"( rtph264depay name=depay0 ! h264parse ! video/x-h264,alignment=au ! {SINK} name=picture "
    f"rtpmp4gdepay name=depay1 ! {SINK} name=sound )"
)
factory.set_latency(200)
factory.set_protocols(PROTOCOLS[options.protocols])
factory.connect("media-configure", configure)
server = GstRtspServer.RTSPServer()
server.set_address("127.0.0.1")
server.set_service("0")
server.get_mount_points().add_factory("/test", factory)
if not server.attach(None):
    sys.exit("no port is free")
GLib.io_add_watch(
    sys.stdin, GLib.PRIORITY_DEFAULT, GLib.IO_IN | GLib.IO_HUP, lambda *_: loop.quit()
)
print(f"rtsp://127.0.0.1:{server.get_bound_port()}/test", flush=True)
loop.run()
print(units["picture"], units["sound"], flush=True)
