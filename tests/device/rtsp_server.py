"""A camera of the tests: H.264 over RTSP on loopback, made by GStreamer.

Each picture carries the time when it was made, in milliseconds of the monotonic clock, as
`mjpeg_server.stamp` draws a number. Run by the system's python3, which has the bindings
(python3-gi, gir1.2-gst-rtsp-server-1.0, gstreamer1.0-plugins-{base,good,bad,ugly});
`rtsp_server.py PORT` prints "ready". With `rtsp_server.py PORT COUNT` pictures carry their number
from 0, and after COUNT of them none follows, but the stream stays open.
"""

import sys
import time

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer  # noqa: E402

WIDTH, HEIGHT, BLOCK, FPS = 320, 240, 20, 30
PIPELINE = (
    "( appsrc name=camera is-live=true format=time do-timestamp=true "
    f"caps=video/x-raw,format=I420,width={WIDTH},height={HEIGHT},framerate={FPS}/1 ! "
    "x264enc tune=zerolatency speed-preset=ultrafast key-int-max=15 ! "
    "rtph264pay name=pay0 pt=96 config-interval=1 )"
)
LONGEST_S = 300


def stamped(number: int) -> bytes:
    """A picture in I420 whose two top rows of blocks spell the low 32 bits of a number."""
    rows = b""
    for first in (0, 16):
        line = b"".join(
            bytes([235 if number >> k & 1 else 16]) * BLOCK for k in range(first, first + 16)
        )
        rows += line * BLOCK
    rest = WIDTH * HEIGHT - len(rows)
    return rows + bytes([90]) * rest + bytes([128]) * (WIDTH * HEIGHT // 2)


def feed(_factory, media, count: int | None) -> None:
    """Give each new media its pictures, until it takes no more."""
    source = media.get_element().get_by_name_recurse_up("camera")
    numbers = iter(range(count or 0))

    def push() -> bool:
        number = time.monotonic_ns() // 1_000_000 if count is None else next(numbers, None)
        if number is None:
            return False
        data = stamped(number)
        taken = source.emit("push-buffer", Gst.Buffer.new_wrapped(data))
        return taken == Gst.FlowReturn.OK

    GLib.timeout_add(1000 // FPS, push)


def main(port: str, count: str | None = None) -> None:
    for element in ("x264enc", "rtph264pay", "appsrc"):
        if Gst.ElementFactory.find(element) is None:
            sys.exit(f"no GStreamer element {element}")
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service(port)
    factory = GstRtspServer.RTSPMediaFactory()
    factory.set_launch(PIPELINE)
    factory.set_shared(True)
    factory.connect("media-configure", feed, None if count is None else int(count))
    server.get_mount_points().add_factory("/cam", factory)
    server.attach(None)
    print("ready", flush=True)
    GLib.timeout_add_seconds(LONGEST_S, sys.exit)
    GLib.MainLoop().run()


Gst.init(None)
main(*sys.argv[1:])
