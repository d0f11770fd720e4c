/** Bytes per hash that the device outputs: `VRAM_GROUP_BYTES` in `cuda/include/vram.h`. */
export const groupBytes = 512 * 1024;

/** Bytes of one hash: `VRAM_DIGEST_BYTES`. */
export const hashBytes = 32;

export const groupCount = (bytes: number): number => Math.ceil(bytes / groupBytes);
