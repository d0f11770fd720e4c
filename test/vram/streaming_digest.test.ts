import t from 'tap';
import { StreamingDigest } from '../../src/vram/streaming_digest.js';

const mebibyte = 1024 * 1024;
const part = 64 * mebibyte;

/** A shard that is uploaded in parts, on a clock that the test controls. */
function uploaded(bytes: number) {
  let nowMs = 1000;
  let digestedBytes = 0;
  const digested: number[] = [];
  const digest = new StreamingDigest(
    bytes,
    async ({ offset, length }) => {
      digested.push(offset / mebibyte);
      digestedBytes += length;
    },
    () => ({ wallMs: nowMs + 1_000_000, monotonicMs: nowMs }),
  );
  return {
    /** The part that ends at `sealedBytes` arrives after `ms`. */
    async arrive(sealedBytes: number, ms: number) {
      nowMs += ms;
      digest.sealed(sealedBytes);
      await new Promise(setImmediate);
    },
    pass: (ms: number) => {
      nowMs += ms;
    },
    /** All bytes arrived and are sealed. */
    async finish() {
      const finishedMs = nowMs;
      const { startedAt } = await digest.finish(new AbortController().signal);
      t.equal(startedAt.wallMs, startedAt.monotonicMs + 1_000_000);
      return { ageMs: finishedMs - startedAt.monotonicMs, digestedParts: digestedBytes / part };
    },
    digested,
  };
}

t.test('a fast upload is digested while it arrives, each byte once', async (t) => {
  const upload = uploaded(10 * part);
  for (let sealed = part; sealed < 10 * part; sealed += part) await upload.arrive(sealed, 60);
  t.same(upload.digested, [0, 64, 128, 192, 256, 320, 384, 448, 512], 'all but the last part');
  t.same(await upload.finish(), { ageMs: 480, digestedParts: 10 });
});

t.test('a slow upload is digested from the time when the last byte is due within a second', async (t) => {
  const upload = uploaded(100 * part);
  for (let sealed = part; sealed < 100 * part; sealed += part) await upload.arrive(sealed, 400);
  t.equal(upload.digested.length, 26, 'slices of 256 MiB up to the part after which 0.8 s remain, then one part');
  t.same(await upload.finish(), { ageMs: 400, digestedParts: 100 });
});

t.test('an upload that is slower than a part in a second is digested after its last byte', async (t) => {
  const upload = uploaded(3 * part);
  for (const sealed of [part, 2 * part]) await upload.arrive(sealed, 5000);
  t.same(upload.digested, []);
  upload.pass(5000);
  t.same(await upload.finish(), { ageMs: 0, digestedParts: 3 });
});

t.test('bytes that were digested more than 2 s before the end are digested again', async (t) => {
  const upload = uploaded(3 * part);
  await upload.arrive(part, 100);
  await upload.arrive(2 * part, 100);
  t.same(upload.digested, [0, 64]);
  upload.pass(1901);
  t.same(await upload.finish(), { ageMs: 1901, digestedParts: 4 }, 'the second part still counts');
});

t.test('both limits are inclusive', async (t) => {
  const due = uploaded(126 * part);
  await due.arrive(part, 8);
  t.same(due.digested, [0], 'the last byte is due in exactly a second');
  const fresh = uploaded(2 * part);
  await fresh.arrive(part, 100);
  fresh.pass(2000);
  t.same(await fresh.finish(), { ageMs: 2000, digestedParts: 2 }, 'the digest is exactly 2 s old');
});

t.test('a seal without more bytes does not change the measured rate', async (t) => {
  const upload = uploaded(3 * part);
  await upload.arrive(part, 5000);
  await upload.arrive(part, 5000);
  await upload.arrive(2 * part, 400);
  t.same(upload.digested, [], 'the second part took 5.4 s');
});

t.test('no sequence of rates has a byte digested more than twice', async (t) => {
  const upload = uploaded(50 * part);
  for (let index = 1; index < 50; index++) await upload.arrive(index * part, index % 2 ? 1 : 3000);
  upload.pass(3000);
  const { ageMs, digestedParts } = await upload.finish();
  t.equal(ageMs, 0);
  t.ok(digestedParts <= 100, `${digestedParts}`);
});

t.test('bytes that have another digest the second time are unstable', async (t) => {
  for (const changed of [0, 128]) {
    let [nowMs, calls] = [1000, 0];
    const digest = new StreamingDigest(
      3 * part,
      async ({ offset, length }, hashes) => {
        hashes.fill(7, offset / 16384, (offset + length) / 16384);
        if (++calls > 2) hashes[changed] = calls;
      },
      () => ({ wallMs: nowMs, monotonicMs: nowMs }),
    );
    for (const sealed of [part, 2 * part]) {
      nowMs += 100;
      digest.sealed(sealed);
      await new Promise(setImmediate);
    }
    const pause = changed === 0 ? 5000 : 0;
    nowMs += pause;
    const { isStable } = await digest.finish(new AbortController().signal);
    t.equal(isStable, pause === 0, 'only bytes that were digested twice can tell');
  }
});
