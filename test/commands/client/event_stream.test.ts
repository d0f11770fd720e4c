import fc from 'fast-check';
import t from 'tap';
import { readEvents, type StreamEvent } from '../../../src/commands/client/event_stream.js';

async function eventsOf(...chunks: readonly Uint8Array[]): Promise<StreamEvent[]> {
  const events = [];
  async function* source() {
    yield* chunks;
  }
  for await (const event of readEvents(source())) events.push(event);
  return events;
}

t.test('events are read as the standard says', async (t) => {
  const text =
    '\ufeff: comment\nid: 1\nevent: progress\ndata: {"a":\ndata:1}\n\nretry: 5\ndata:x\r\n\r\nevent: y\n\ndata\n\ndata: cut';
  t.strictSame(await eventsOf(Buffer.from(text)), [
    { event: 'progress', data: '{"a":\n1}' },
    { event: 'message', data: 'x' },
    { event: 'message', data: '' },
  ]);
});

t.test('events are the same however the bytes are divided', async (t) => {
  const bytes = Buffer.from('event: é模🐪\r\ndata: 1\r\ndata: 2\r\n\r\ndata: 3\r\rdata: 4\n\n');
  const expected = await eventsOf(bytes);
  t.equal(expected.length, 3);
  await fc.assert(
    fc.asyncProperty(fc.array(fc.nat(bytes.length), { maxLength: 6 }), async (cuts) => {
      const places = [0, ...cuts.sort((a, b) => a - b), bytes.length];
      const chunks = places.slice(1).map((end, index) => bytes.subarray(places[index], end));
      t.strictSame(await eventsOf(...chunks), expected);
    }),
    { numRuns: 50 },
  );
});

t.test('an endless event is refused', async (t) => {
  await t.rejects(eventsOf(...Array.from({ length: 18 }, () => Buffer.alloc(1024 ** 2, 'x'))), /too long/);
});
