/** The slowest rate at which an upload may hold memory: that of uploads in one request. */
const minBytesPerSecond = 1024;

/** This many times the client may use the whole time before the rate counts. */
const graceTimes = 16;

/**
 * How many milliseconds an idle upload waits for its client: `resumeSeconds`. If the client keeps returning with a few
 * bytes, the time gets shorter.
 */
export function idleMs(resumeSeconds: number, ageMs: number, receivedBytes: number): number {
  const allowedMs = (graceTimes * resumeSeconds + receivedBytes / minBytesPerSecond) * 1000;
  return Math.max(0, Math.min(resumeSeconds * 1000, allowedMs - ageMs));
}
