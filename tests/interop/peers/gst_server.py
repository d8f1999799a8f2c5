"""An RTSP server that is not ours: gst-rtsp-server with a test picture and a test tone.

    /usr/bin/python3 gst_server.py [--port 0] [--video h264|h265|mpeg4] [--audio aac|opus|none]
                                   [--protocols any|udp|tcp]

Prints `rtsp://127.0.0.1:PORT/test` when it listens, and ends when its standard input does.
Needs the system's Python with gi and GstRtspServer 1.0.
"""

import argparse
import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtsp", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtsp, GstRtspServer  # noqa: E402

VIDEO = {
    "h264": "videotestsrc is-live=true pattern=ball "
    "! video/x-raw,width=320,height=240,framerate=25/1 "
    "! x264enc tune=zerolatency speed-preset=ultrafast bitrate=500 key-int-max=25 "
    "! rtph264pay name=pay0 pt=96 config-interval=-1",
    "h265": "videotestsrc is-live=true pattern=ball "
    "! video/x-raw,width=320,height=240,framerate=25/1,format=I420 "
    "! x265enc tune=zerolatency speed-preset=ultrafast bitrate=500 key-int-max=25 "
    "! rtph265pay name=pay0 pt=96 config-interval=-1",
    "mpeg4": "videotestsrc is-live=true ! video/x-raw,width=320,height=240,framerate=25/1 "
    "! avenc_mpeg4 ! rtpmp4vpay name=pay0 pt=96",
}
TONE = "audiotestsrc is-live=true wave=sine volume=0.3 ! audio/x-raw,rate=48000,channels=2 ! "
AUDIO = {
    "aac": TONE + "audioconvert ! avenc_aac ! rtpmp4gpay name=pay1 pt=97",
    "opus": TONE + "opusenc ! rtpopuspay name=pay1 pt=97",
    "none": "",
}
PROTOCOLS = {
    "any": GstRtsp.RTSPLowerTrans.UDP | GstRtsp.RTSPLowerTrans.TCP,
    "udp": GstRtsp.RTSPLowerTrans.UDP,
    "tcp": GstRtsp.RTSPLowerTrans.TCP,
}

parser = argparse.ArgumentParser()
parser.add_argument("--port", default="0")
parser.add_argument("--video", choices=VIDEO, default="h264")
parser.add_argument("--audio", choices=AUDIO, default="aac")
parser.add_argument("--protocols", choices=PROTOCOLS, default="any")
options = parser.parse_args()

Gst.init(None)
factory = GstRtspServer.RTSPMediaFactory()
factory.set_launch(f"( {VIDEO[options.video]} {AUDIO[options.audio]} )")
factory.set_shared(True)
factory.set_protocols(PROTOCOLS[options.protocols])
server = GstRtspServer.RTSPServer()
server.set_address("127.0.0.1")
server.set_service(options.port)
server.get_mount_points().add_factory("/test", factory)
if not server.attach(None):
    sys.exit(f"port {options.port} is taken")

loop = GLib.MainLoop()
GLib.io_add_watch(
    sys.stdin, GLib.PRIORITY_DEFAULT, GLib.IO_IN | GLib.IO_HUP, lambda *_: loop.quit()
)
print(f"rtsp://127.0.0.1:{server.get_bound_port()}/test", flush=True)
loop.run()
