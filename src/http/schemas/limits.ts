/** The largest integer that JSON carries exactly everywhere: 2^53 − 1. */
export const maxBytes = Number.MAX_SAFE_INTEGER;

/** As many shards as one model may be cut into. */
export const maxShards = 1024;
