"""A camera that is a web server: pictures as an MJPEG stream, as IP cameras and mjpg-streamer give them."""

from __future__ import annotations

import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import cv2

BOUNDARY = 'picture'


class MjpegServer:
    """Serves whatever is shown last to everybody who looks, at http://127.0.0.1:PORT/stream.mjpg.

    Every part says its length: without it FFmpeg gives a picture only when the next one begins.
    """

    def __init__(self, port=0, quality=95):
        self._quality = quality
        self._jpeg, self._count, self._open = b'', 0, True
        self._changed = threading.Condition()
        self._clients = set()
        self.sent = 0  # parts written, to all clients together
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                server._serve(self)

            def log_message(self, *_):
                pass

        ThreadingHTTPServer.allow_reuse_address = True
        self._http = ThreadingHTTPServer(('127.0.0.1', port), Handler)
        self._http.daemon_threads = True
        self.port = self._http.server_address[1]
        self.url = f'http://127.0.0.1:{self.port}/stream.mjpg'
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={'poll_interval': 0.02}, daemon=True)
        self._thread.start()

    def show(self, rgb):
        """Give a picture, rgb8, to everybody who looks."""
        bgr = cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR)
        jpeg = cv2.imencode('.jpg', bgr, [cv2.IMWRITE_JPEG_QUALITY, self._quality])[1].tobytes()
        self.show_jpeg(jpeg)

    def show_jpeg(self, jpeg):
        """The same for bytes, whatever they are."""
        with self._changed:
            self._jpeg, self._count = jpeg, self._count + 1
            self._changed.notify_all()

    @property
    def viewers(self):
        """How many look."""
        return len(self._clients)

    def close(self):
        """Hang up on everybody, as a plug that is pulled does."""
        with self._changed:
            self._open = False
            self._changed.notify_all()
        self._http.shutdown()
        for client in list(self._clients):
            client.shutdown(socket.SHUT_RDWR)
        self._http.server_close()

    def _serve(self, request):
        request.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        request.send_response(200)
        request.send_header('Content-Type', f'multipart/x-mixed-replace; boundary={BOUNDARY}')
        request.end_headers()
        self._clients.add(request.connection)
        seen = self._count
        try:
            while True:
                seen, jpeg = self._after(seen)
                head = f'--{BOUNDARY}\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n'
                request.wfile.write(head.encode() + jpeg + b'\r\n')
                self.sent += 1
        except OSError:
            pass
        finally:
            self._clients.discard(request.connection)

    def _after(self, seen):
        """The first picture after number `seen`, and its own number."""
        with self._changed:
            self._changed.wait_for(lambda: self._count != seen or not self._open)
            if not self._open:
                raise ConnectionAbortedError
            return self._count, self._jpeg
