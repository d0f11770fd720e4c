/** Bytes under one hash that the device gives out; `VRAM_GROUP_BYTES`. */
export const groupBytes = 512 * 1024;

/** Bytes of one hash; `VRAM_DIGEST_BYTES`. */
export const hashBytes = 32;

export const groupCount = (bytes: number): number => Math.ceil(bytes / groupBytes);
