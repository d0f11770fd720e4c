/** Bytes digested by one native call: long enough to fill a device, short enough to give others their turn. */
export const digestSliceBytes = 256 * 1024 * 1024;

/** Makes a digest wait its turn: asked before each slice, which may have up to `sliceBytes`, a multiple of a group. */
export interface Throttle {
  readonly sliceBytes: number;
  next(bytes: number): Promise<void>;
}

/** As fast as it goes. */
export const unthrottled: Throttle = { sliceBytes: digestSliceBytes, next: async () => undefined };
