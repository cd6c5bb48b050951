# Types of the compiled screen stage: docs/hot-path.md tells what they mean.
from libc.stdint cimport int64_t, uint8_t

ctypedef int (*screen_t)(void*, int64_t, int64_t, int64_t, int) noexcept nogil

cdef struct ScreenStage:
    void* context
    screen_t screen

cdef struct Graph:
    # Pairs by slot; -1 where a slot's pair is in no cycle.
    int64_t* pairs
    int64_t slots
    # Two edges a pair: 2 * pair buys the base asset, 2 * pair + 1 sells it.
    double* factors
    double* rates
    # The cycles through an edge: the other two edges and the cycle.
    int* first
    int* one
    int* other
    int* cycle
    # By cycle: its three edges, and whether it is live.  By pair: how many are.
    int* edges
    uint8_t* is_live
    int* live
    double floor

cdef enum:
    BID = 1
    ASK = 2
