import t from 'tap';
import { descriptorShares, minOpenFiles } from '../../src/runtime/open_files.js';

t.test('the shares of all parts are below the limit of open files', async (t) => {
  for (const attach of [false, true]) {
    for (let limit = minOpenFiles({ attach }); limit < 100_000; limit += 97) {
      const shares = descriptorShares({ attach, limit });
      const used = shares.files + shares.attach + shares.connections;
      if (used + 192 > limit || Math.min(shares.files, shares.connections) < 16) t.fail(JSON.stringify(shares));
    }
  }
  t.strictSame(descriptorShares({ limit: 256 }), { files: 16, attach: 0, connections: 48 });
  t.strictSame(descriptorShares({ attach: true, limit: 512 }), { files: 80, attach: 120, connections: 120 });
  t.strictSame(descriptorShares({ attach: true, limit: 1024 }), { files: 208, attach: 312, connections: 312 });
});

t.test('without a known limit, each part is unlimited', async (t) => {
  const none = Number.POSITIVE_INFINITY;
  t.strictSame(descriptorShares({ limit: none }), { files: none, attach: 0, connections: none });
});
