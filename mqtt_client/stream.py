"""The TCP socket under one connection, opened and watched by the event loop."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Callable

READ_BYTES = (
    64 * 1024
)  # taken from the kernel at a time, so that one connection cannot starve others

_Address = tuple[
    socket.AddressFamily, tuple[str, int] | tuple[str, int, int, int] | tuple[int, bytes]
]


async def dial(host: str, port: int) -> socket.socket:
    """Open a TCP connection without ever blocking the loop; OSError when no address answers."""
    loop = asyncio.get_running_loop()
    last = OSError(f"{host!r} has no address")
    for family, address in await _addresses(host, port):
        sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            sock.setblocking(False)
            # Without it a small message waits for the acknowledgement of the one before: 40 ms.
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await loop.sock_connect(sock, address)
        except OSError as error:
            sock.close()
            last = error
        except BaseException:
            sock.close()
            raise
        else:
            return sock
    raise last


async def _addresses(host: str, port: int) -> list[_Address]:
    try:
        version = ipaddress.ip_address(host).version
    except ValueError:
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        return [(family, address) for family, _, _, _, address in found]
    # A literal address needs no resolver, and so no thread.
    return [(socket.AF_INET if version == 4 else socket.AF_INET6, (host, port))]


class Stream:
    """A connected socket in the shape that paho expects, watched by the running loop.

    paho reads a packet in three small pieces; here the kernel is asked once
    per wake-up and the pieces are cut from what it gave.
    """

    __slots__ = ("_at", "_chunk", "_ended", "_fd", "_loop", "_sock", "_writer")

    def __init__(self, sock: socket.socket, on_readable: Callable[[], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._sock = sock
        self._fd = sock.fileno()
        self._chunk = b""
        self._at = 0
        self._ended = False
        self._writer: Callable[[], None] | None = None
        self._loop.add_reader(self._fd, on_readable)

    @property
    def pending(self) -> bool:
        """True while there is something to read: bytes, or the end."""
        return self._at < len(self._chunk) or self._ended

    def fill(self) -> None:
        """Take what the kernel has, once.  To be called when all earlier bytes were read."""
        try:
            self._chunk = self._sock.recv(READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            self._chunk = b""
        self._at = 0
        self._ended = not self._chunk

    def watch_writable(self, callback: Callable[[], None] | None) -> None:
        """Call back when the kernel takes bytes again; None ends it."""
        if callback is self._writer or self._fd < 0:
            return
        self._writer = callback
        if callback is None:
            self._loop.remove_writer(self._fd)
        else:
            self._loop.add_writer(self._fd, callback)

    def recv(self, size: int) -> bytes:
        """At most `size` bytes of what `fill` took; b"" at the end of the stream."""
        if self._at == len(self._chunk):
            if self._ended:
                return b""
            raise BlockingIOError
        piece = self._chunk[self._at : self._at + size]
        self._at += len(piece)
        return piece

    def send(self, data: bytes | bytearray) -> int:
        """Give bytes to the kernel; how many it took."""
        return self._sock.send(data)

    def close(self) -> None:
        """Stop watching and close, any number of times."""
        if self._fd < 0:
            return
        self._loop.remove_reader(self._fd)
        self._loop.remove_writer(self._fd)
        self._fd = -1
        self._ended = True
        self._sock.close()

    def fileno(self) -> int:
        """The descriptor, or -1 once closed."""
        return self._fd

    def setblocking(self, flag: bool) -> None:
        """Do nothing: the socket never blocks, whatever paho asks."""
