/**
 * The content of tests and vectors: `length` bytes of a linear congruential generator
 * (x₀ = 1, xᵢ₊₁ = 1664525·xᵢ + 1013904223 mod 2³², byte i = xᵢ₊₁ >> 24).
 */
export function patternBytes(length: number, seed = 1): Buffer {
  const bytes = Buffer.alloc(length);
  let state = seed;
  for (let index = 0; index < length; index++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    bytes[index] = state >>> 24;
  }
  return bytes;
}
