/**
 * What the simulator exports beside the driver API, for tests: faults on demand, spoofs, delays, call counts. The same
 * settings can be given in the environment as CUDA_SIM_<setting>, read at cuInit; see README.md for their grammar.
 */
#pragma once

#include <cstdint>

extern "C" {

/** Sets FAULTS, SPOOFS or LATENCY_US at run time; an empty value clears it. 0, or 1 for an unknown setting or bad
 * value.
 */
__attribute__((visibility("default"))) int cuSimSet(const char *setting, const char *value);

/** Calls of one driver function since the last cuSimReset, failed ones included; of all functions for "*". */
__attribute__((visibility("default"))) uint64_t cuSimCalls(const char *function);

/** Clears faults, spoofs, delays, counts and a sticky error. Memory, streams and handles stay. */
__attribute__((visibility("default"))) void cuSimReset(void);

/** What is still alive: allocation handles, reserved ranges, mappings, streams, events, modules, host allocations.
 *  "cuMemCreate" counts live allocations, "cuMemHostAlloc" live pinned buffers, and so on; "*" is their sum. */
__attribute__((visibility("default"))) uint64_t cuSimLive(const char *creator);
}
