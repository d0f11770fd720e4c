import t from 'tap';
import type { Allocation } from '../../src/vram/allocation.js';
import { Unfreed } from '../../src/vram/unfreed.js';

t.test('memory that the driver always refuses to free does not keep other memory from being freed', async (t) => {
  const unfreed = new Unfreed();
  const refused = { free: () => Promise.reject(new Error('refused')) } as unknown as Allocation;
  let calls = 0;
  const freed = {
    free: () => (++calls === 1 ? Promise.reject(new Error('refused')) : Promise.resolve()),
  } as unknown as Allocation;
  await t.rejects(unfreed.free(refused));
  await t.rejects(unfreed.free(freed));
  await t.rejects(unfreed.retry());
  await t.rejects(unfreed.retry());
  t.equal(calls, 2, 'the second tick freed it');
});
