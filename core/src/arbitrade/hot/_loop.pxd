# Types of the compiled hot path: docs/hot-path.md tells what each word means.
from libc.stdint cimport int64_t, uint32_t

ctypedef int (*decode_t)(void*, const char*, Py_ssize_t, int64_t*, Py_ssize_t) noexcept nogil
ctypedef uint32_t (*verify_t)(int64_t*, int) noexcept nogil
ctypedef int64_t (*mark_t)(int64_t, int64_t) noexcept nogil
ctypedef int (*screen_t)(void*, int64_t, int64_t, int64_t, int) noexcept nogil

# Python's own clock for durations costs half as much again.
cdef extern from *:
    """
    #include <stdint.h>
    #ifdef _WIN32
    #include <windows.h>
    static int64_t now_ns(void) {
        LARGE_INTEGER count, rate;
        QueryPerformanceCounter(&count);
        QueryPerformanceFrequency(&rate);
        return count.QuadPart / rate.QuadPart * 1000000000
            + count.QuadPart % rate.QuadPart * 1000000000 / rate.QuadPart;
    }
    #else
    #include <time.h>
    static int64_t now_ns(void) {
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
    }
    #endif
    """
    int64_t now_ns() noexcept nogil

cdef struct VenueStage:
    void* context
    decode_t decode
    verify_t verify
    mark_t mark

cdef struct ScreenStage:
    void* context
    screen_t screen

cdef enum:
    # Words of a delta.
    D_SLOT = 0
    D_SNAPSHOT = 1
    D_BIDS = 2
    D_ASKS = 3
    D_CHECKSUM = 4
    D_TIME_AT = 5
    D_TIME_LENGTH = 6
    D_LEVELS = 8
    # Words of a book.
    B_BIDS = 0
    B_ASKS = 1
    B_CAPACITY = 2
    B_SCRATCH = 3
    B_DEPTH = 4
    B_STATE = 5
    B_TRADABLE = 6
    B_GATE = 7
    B_WATCHED = 8
    B_TIME_LENGTH = 9
    B_TIME = 10
    B_LEVELS = 16
    # States of a book; the first three are those of `arbitrade.book.BookState`.
    WAITING = 0
    SYNCED = 1
    OUT_OF_SYNC = 2
    ELSEWHERE = 3
    # Which best prices moved, as in `arbitrade.models.Changed`.
    BID = 1
    ASK = 2
    # What a step comes to.
    NOTHING = 0
    SLOW = 1
    MISMATCH = 2
    REPORT = 3
    VOID = 4
    LINE = 5
    END = 6
    OPEN = 7

cdef enum:
    LEVEL_WORDS = 3
    ROOM = 64
    TIME_BYTES = 48
    # More levels than any side has.
    LEVELS_ALL = 1 << 30
    # First byte of a WebSocket text message in one frame.
    WHOLE_TEXT = 129
    FINE = 65536
    COARSE = 65536
    COARSE_SHIFT = 10
