# Types of the compiled venue stage: docs/hot-path.md tells what each word means.
from libc.stdint cimport int64_t, uint32_t, uint64_t

ctypedef int (*decode_t)(void*, const char*, Py_ssize_t, int64_t*, Py_ssize_t) noexcept nogil
ctypedef uint32_t (*verify_t)(int64_t*, int) noexcept nogil
ctypedef int64_t (*mark_t)(int64_t, int64_t) noexcept nogil

cdef struct VenueStage:
    void* context
    decode_t decode
    verify_t verify
    mark_t mark

cdef struct Names:
    # An open-addressing table of symbols of up to 16 bytes, and each slot's decimals.
    uint64_t* keys
    int64_t* slots
    int* price_decimals
    int* quantity_decimals
    uint64_t mask
    # A frame without the white space between its tokens.
    char* squeezed

cdef enum:
    D_SLOT = 0
    D_SNAPSHOT = 1
    D_BIDS = 2
    D_ASKS = 3
    D_CHECKSUM = 4
    D_TIME_AT = 5
    D_TIME_LENGTH = 6
    D_LEVELS = 8
    B_BIDS = 0
    B_ASKS = 1
    B_CAPACITY = 2
    B_SCRATCH = 3
    B_LEVELS = 16
    BID = 1
    ASK = 2
    LEVEL_WORDS = 3

cdef enum:
    CHECKSUM_LEVELS = 10
    # Digits a uint64 holds whatever they are, and the most a level's two numbers can have.
    MAX_DIGITS = 19
    MAX_MARK_DIGITS = 40
    SYMBOL_BYTES = 16
    SQUEEZED_BYTES = 65536
