import t from 'tap';
import { attachLimits } from '../../src/attach/attach_limits.js';
import { descriptorShares, minOpenFiles } from '../../src/runtime/open_files.js';

t.test('the descriptors for attaching processes stay within their share, also with a keeper', async (t) => {
  t.match(attachLimits({ hasKeeper: false }, 1024), { sessions: 62, sessionsPerUser: 46, processes: 124 });
  t.match(attachLimits({ hasKeeper: true }, 1024), { sessions: 62, sessionsPerUser: 46, processes: 62 });
  t.match(attachLimits({ hasKeeper: false }, 1_048_576), { sessions: 64, sessionsPerUser: 48, processes: 16_384 });
  for (const hasKeeper of [false, true]) {
    for (let limit = minOpenFiles({ attach: true }); limit < 100_000; limit += 97) {
      const { sessions, refused, processes } = attachLimits({ hasKeeper }, limit);
      // The descriptors of one message, and those of processes that have leases of an earlier worker.
      const used = sessions + refused + 64 + processes * (hasKeeper ? 2 : 1);
      const isWithin = used <= descriptorShares({ attach: true, limit }).attach;
      if (!isWithin || processes < 1) t.fail(`${limit}: ${used} descriptors, ${processes} processes`);
    }
  }
});
