import t from 'tap';
import { OverviewCache } from '../../../src/http/routes/overview_cache.js';
import type { PullQueue } from '../../../src/pulls/pull_queue.js';
import type { Residency } from '../../../src/residency/residency.js';

t.test('thousands of tags in one header cost one look at the worker', async (t) => {
  let looks = 0;
  const overviewVersion = () => {
    looks++;
    return { state: 'state', progress: '' };
  };
  const residency = { overviewVersion, identity: { bootId: 'boot' } } as unknown as Residency;
  const overviews = new OverviewCache(residency, { version: '' } as unknown as PullQueue);
  const { tag } = overviews;
  looks = 0;
  const tags = Array.from({ length: 8000 }, (_, index) => `"${index}"`);
  t.equal(overviews.firstCurrent([...tags, tag]), tag);
  t.equal(overviews.firstCurrent(tags), undefined);
  t.equal(looks, 2);
});
