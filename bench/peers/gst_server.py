"""gst-rtsp-server serving one movie to everybody, as the peer we are measured against.

For the system's Python, which has gi:  /usr/bin/python3 gst_server.py MOVIE PORT
Prints "ready" when it listens; serves rtsp://127.0.0.1:PORT/movie until it is ended.
"""

import sys

import gi  # type: ignore[import-not-found]

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer  # type: ignore[import-not-found]  # noqa: E402

# The packets are as large as ours: 1,200 bytes of payload and the RTP header.
LAUNCH = """( filesrc location="{movie}" ! qtdemux name=demux
  demux.video_0 ! queue ! h264parse ! rtph264pay name=pay0 pt=96 mtu=1212 config-interval=-1
  demux.audio_0 ! queue ! aacparse ! rtpmp4gpay name=pay1 pt=97 mtu=1212 )"""


def main(movie: str, port: str) -> None:
    Gst.init(None)
    factory = GstRtspServer.RTSPMediaFactory()
    factory.set_launch(LAUNCH.format(movie=movie))
    factory.set_shared(True)
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service(port)
    server.get_mount_points().add_factory("/movie", factory)
    if server.attach(None) == 0:
        sys.exit(f"gst-rtsp-server cannot listen on port {port}")
    print("ready", flush=True)
    GLib.MainLoop().run()


if __name__ == "__main__":
    main(*sys.argv[1:])
