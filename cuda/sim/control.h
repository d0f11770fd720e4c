/**
 * The functions that the simulator exports in addition to the driver API, for tests: fault injection, spoofed
 * attributes, latency injection and counts. cuInit also reads each setting from CUDA_SIM_<setting>. README.md describes
 * the settings.
 */
#pragma once

#include <cstdint>

extern "C" {

/** Sets FAULTS, SPOOFS or LATENCY_US. An empty value clears it. Returns 0, or 1 if the name or value is invalid. */
__attribute__((visibility("default"))) int cuSimSet(const char *setting, const char *value);

/** Counts the calls of a driver function since the last cuSimReset, including failed ones. "*" counts all functions. */
__attribute__((visibility("default"))) uint64_t cuSimCalls(const char *function);

/** Clears faults, spoofs, latency, call counts and sticky errors. Memory, streams and handles remain. */
__attribute__((visibility("default"))) void cuSimReset(void);

/**
 * Counts live objects by the function that created them: "cuMemCreate" for allocation handles, "cuMemHostAlloc" for
 * pinned buffers, and so on. "*" is the sum over all kinds except retained primary contexts.
 */
__attribute__((visibility("default"))) uint64_t cuSimLive(const char *creator);
}
