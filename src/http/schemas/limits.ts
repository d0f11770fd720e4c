/** 2^53 − 1, the largest integer that every JSON parser reads exactly. */
export const maxBytes = Number.MAX_SAFE_INTEGER;

/** Shards of one model. */
export const maxShards = 1024;
