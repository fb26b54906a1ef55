"""A camera of the tests: H.264 over RTSP on loopback, made by GStreamer.

Run by the system's python3, which has the bindings (python3-gi, gir1.2-gst-rtsp-server-1.0,
gstreamer1.0-plugins-{base,good,bad,ugly}); `rtsp_server.py PORT` prints "ready".
"""

import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer  # noqa: E402

PIPELINE = (
    "( videotestsrc is-live=true pattern=smpte ! "
    "video/x-raw,format=I420,width=320,height=240,framerate=30/1 ! "
    "x264enc tune=zerolatency speed-preset=ultrafast key-int-max=15 ! "
    "rtph264pay name=pay0 pt=96 config-interval=1 )"
)


def main(port: str) -> None:
    for element in ("x264enc", "rtph264pay", "videotestsrc"):
        if Gst.ElementFactory.find(element) is None:
            sys.exit(f"no GStreamer element {element}")
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service(port)
    factory = GstRtspServer.RTSPMediaFactory()
    factory.set_launch(PIPELINE)
    factory.set_shared(True)
    server.get_mount_points().add_factory("/cam", factory)
    server.attach(None)
    print("ready", flush=True)
    GLib.timeout_add_seconds(120, sys.exit)
    GLib.MainLoop().run()


Gst.init(None)
main(sys.argv[1])
