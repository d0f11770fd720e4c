import type { ServerResponse } from 'node:http';
import t from 'tap';
import { SourceRegistry } from '../../../src/sources/registry.js';
import type { HttpSettings } from '../../../src/sources/settings/schema.js';
import { patternBytes } from '../../support/bytes.js';
import { environmentOf, openedRange } from '../../support/http_sources.js';
import { rangeServer } from '../../support/range_server.js';
import { get, post, sha256 } from '../../support/requests.js';
import { until } from '../../support/until.js';
import type { TestWorker } from '../../support/worker.js';
import { commit, restartable } from '../restartable.js';

const bytes = patternBytes(5000);

const sealed = async (worker: TestWorker): Promise<string[]> =>
  (await get(worker, '/v1/shards?state=sealed')).json().shards.map(({ shard_id: id }: { shard_id: string }) => id);

t.test('a source that does not answer delays the restore of its own files only', async (t) => {
  const [dead, alive] = [await rangeServer(t, { '/m': bytes }), await rangeServer(t, { '/m': bytes })];
  const settings = [dead, alive].map(
    ({ origin }, index): HttpSettings => ({
      ...{ name: `source-${index}`, type: 'http', prefixes: [`${origin}/`], addresses: [openedRange] },
    }),
  );
  const residency = () => ({
    registry: new SourceRegistry(
      environmentOf(),
      settings.map((source) => ({ settings: source, files: {} })),
    ),
    restoreRetryMs: 5,
  });
  const { start } = restartable(t);
  const first = await start({ residency: residency() });
  const pull = (shardId: string, { origin }: { origin: string }) =>
    post(first, '/v1/commit', {
      ...{ shard_id: shardId, model_ref: 'm', expected_digest: sha256(bytes) },
      source: { type: 'http', url: `${origin}/m` },
    });
  for (const id of ['d0', 'd1', 'd2', 'd3', 'd4']) t.equal((await pull(id, dead)).statusCode, 201);
  await pull('e', alive);
  await commit(first, 'f', 'a');
  await first.stop();

  const held: ServerResponse[] = [];
  dead.interfere = (_, response) => held.push(response) > 0;
  const second = await start({ residency: residency() });
  await until(async () => (await sealed(second)).length === 2, 'the other files wait for the dead source');
  t.same(await sealed(second), ['e', 'f']);
  t.equal(second.residency.phase, 'loading');
  dead.interfere = undefined;
  for (const response of held) response.destroy();
  await until(
    async () => (await sealed(second)).length === 7,
    'the source answers again, and its files are not restored',
  );
});
