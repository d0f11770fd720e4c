import { freshContent } from '../content.mjs';
import { manyShardsSettings, RestartableWorker } from '../restartable_worker.mjs';
import { percentile } from '../statistics.mjs';

const perSecond = 100;

/** What monitoring requests. */
const scraped = ['/metrics', '/v1/shards?limit=1'];

/** Everything that a worker reports. */
const polled = [
  ...scraped,
  '/v1/ready',
  '/v1/ready?handles=false&nonce=bench',
  '/v1/shards?limit=1000',
  '/v1/shards?state=corrupt',
  '/v1/devices',
  '/readyz',
];

/**
 * Latency of `GET /livez` with many shards, an audit log and a manifest: while 16 clients scrape the worker, while they poll
 * everything that it reports, during a rotation of the seal key, during the restore after a restart, and during shutdowns.
 * @param {import('../bench.mjs').Context} context
 */
export async function manyShards({ options, workspace }) {
  const content = freshContent(workspace.models, 'many', 4096);
  const directory = workspace.make('many-shards');
  const { key, env } = manyShardsSettings(workspace, directory);
  const count = options.manyShards;
  const first = await RestartableWorker.start(directory, env);
  await first.commitAll(count, content.name);
  const scrapes = await first.during(perSecond, () => first.poll(scraped, options.loadSeconds));
  const polls = await first.during(perSecond, () => first.poll(polled, options.loadSeconds));
  const rotated = await first.during(perSecond, () => first.rotate(key));
  const stopped = await first.during(perSecond, () => first.stop());
  const second = await RestartableWorker.start(directory, env);
  const restored = await second.during(perSecond, () => second.untilRestored(count));
  const restopped = await second.during(perSecond, () => second.stop());

  const named = { scrapes: [scrapes], 'a key rotation': [rotated], 'a restore': [restored] };
  const others = { 'a shutdown': [stopped, restopped], 'polls of everything': [polls] };
  return Object.entries({ ...named, ...others }).map(([name, phases]) => ({
    better: 'lower',
    // 16 clients that poll everything without a pause occupy both cores.
    ...(phases[0] === polls ? {} : { required: 50 }),
    path: `GET /livez ${perSecond}/s with ${count} shards during ${name}: p99`,
    product: { unit: 'ms', samples: phases.map(({ latenciesMs }) => percentile(latenciesMs, 0.99)) },
    note: `${phases.map(({ seconds }) => seconds.toFixed(1)).join(', ')} s`,
  }));
}
