"""Flash as the node's port.h has it, in memory, with power that can fail at any write."""

import ctypes

PAGE = 64
AREAS = 6

_Erase = ctypes.CFUNCTYPE(ctypes.c_bool, ctypes.c_void_p, ctypes.c_int)
_Write = ctypes.CFUNCTYPE(
    ctypes.c_bool, ctypes.c_void_p, ctypes.c_int, ctypes.c_uint32, ctypes.POINTER(ctypes.c_uint8)
)


class Struct(ctypes.Structure):
    """mf_flash."""

    _fields_ = (
        ("context", ctypes.c_void_p),
        ("at", ctypes.c_void_p * AREAS),
        ("size", ctypes.c_uint32 * AREAS),
        ("erase", _Erase),
        ("write", _Write),
    )


class Flash:
    """Areas of `size` bytes.

    After `power` operations the next one is torn: of a page, `torn` bytes are written; of an
    area, as many pages are erased.  From then on nothing is done, until power is set again.
    """

    def __init__(self, size: int) -> None:
        self.areas = [(ctypes.c_uint64 * (size // 8))() for _ in range(AREAS)]
        self.power: int | None = None
        self.torn = 0
        self.operations = 0
        self.struct = Struct(
            None,
            tuple(ctypes.addressof(area) for area in self.areas),
            (size,) * AREAS,
            _Erase(self._erase),
            _Write(self._write),
        )
        for area in self.areas:
            ctypes.memset(area, 0xFF, size)

    @property
    def at(self):
        return ctypes.byref(self.struct)

    def _part(self, whole: int, torn: int) -> int:
        """How much of an operation is done."""
        self.operations += 1
        if self.power is None or self.operations <= self.power:
            return whole
        return torn if self.operations == self.power + 1 else 0

    def _erase(self, _context, area: int) -> bool:
        size = ctypes.sizeof(self.areas[area])
        done = self._part(size, min(self.torn * PAGE, size))
        ctypes.memset(self.areas[area], 0xFF, done)
        return done == size

    def _write(self, _context, area: int, offset: int, page) -> bool:
        at = ctypes.addressof(self.areas[area]) + offset
        assert offset % PAGE == 0
        assert offset + PAGE <= ctypes.sizeof(self.areas[area])
        done = self._part(PAGE, self.torn)
        if done:
            assert ctypes.string_at(at, PAGE) == b"\xff" * PAGE, "written twice"
        ctypes.memmove(at, page, done)
        return done == PAGE
