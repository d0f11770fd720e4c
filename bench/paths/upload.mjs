import { startBareServer, startRegistry } from '../baselines/servers.mjs';
import { openssl } from '../baselines/tools.mjs';
import { freshContent } from '../content.mjs';
import { fileLimit, hashRate, receiveLimit } from '../native.mjs';
import { alternate } from '../rounds.mjs';
import { rate } from '../row.mjs';
import { median } from '../statistics.mjs';
import { Worker } from '../worker.mjs';

/**
 * Commit by upload with `curl -T`, compared with the limit of the machine, which is measured in the same rounds, with hashing
 * the same file, and with servers that receive the same upload.
 * @param {import('../bench.mjs').Context} context
 */
export async function upload({ options, workspace, tools }) {
  const { rounds, sizeBytes } = options;
  const { missing } = tools['docker-registry'];
  const fresh = () => freshContent(workspace.models, 'upload', sizeBytes);
  const worker = await Worker.start(workspace);
  const bare = await startBareServer();
  const registry = missing === undefined ? await startRegistry(workspace.make('registry')) : undefined;
  const commit = (flat) => async (content) => {
    const seconds = await worker.upload('upload', content, flat);
    await worker.release('upload');
    return seconds;
  };

  const received = [];
  const limitOf = (flat) => async (content) => {
    const limit = await limits(content, flat);
    received.push(limit.receive);
    return sizeBytes / 1e9 / limit.all;
  };

  await commit(true)(fresh()); // warm-up: allocates the device's memory
  const baselines = { bare: bare.upload, ...(tools.openssl.missing === undefined && { openssl }) };
  const both = await alternate(rounds, fresh, {
    product: commit(true),
    limit: limitOf(true),
    ...baselines,
    ...(registry && { registry: registry.upload }),
  });
  const tree = await alternate(rounds, fresh, { product: commit(false), limit: limitOf(false), ...baselines });
  for (const server of [worker, bare, registry]) await server?.stop();

  return rows({ sizeBytes, both, tree, received, reasons: { openssl: tools.openssl.missing, registry: missing } });
}

function rows({ sizeBytes, both, tree, received, reasons }) {
  const rowsOf = (path, samples, comparisons) =>
    Object.entries(comparisons).map(([name, comparison]) => ({
      path,
      better: 'higher',
      product: rate(sizeBytes, samples.product),
      ...(samples[name] ? { baselineSeries: rate(sizeBytes, samples[name]) } : { missing: reasons[name] }),
      ...comparison,
    }));
  const limit = {
    baseline: 'limit: curl to a program that only receives, the copy and the hashes, over all cores',
    required: 0.7,
    target: 0.8,
    note: `that program received ${median(received).toFixed(2)} GB/s`,
  };
  const hashing = { baseline: 'openssl dgst -sha256' };
  // Its rate changes by half within minutes, so it has no limit.
  const receiving = { baseline: 'bare Node server' };
  return [
    ...rowsOf('commit by upload, flat + tree', both, {
      limit,
      openssl: { ...hashing, required: 0.6, target: 0.75 },
      bare: receiving,
      // Its rate depends on Go's SHA-256, so it has no limit: 4 × exceeds the limit of some machines.
      registry: { baseline: 'docker-registry (Go without SHA instructions)' },
    }),
    ...rowsOf('commit by upload, flat_digest=false', tree, {
      limit,
      openssl: { ...hashing, required: 1, target: 1.4 },
      bare: receiving,
    }),
  ];
}

/**
 * The rates, in GB/s, that no server on this machine exceeds: that of a program that only receives, and that at which all
 * cores together send, receive, copy to the device and hash there. With a flat digest, one core makes that, and all cores
 * also hash the tree on the host. @param {import('../content.mjs').Content} content @param {boolean} flat
 */
async function limits({ path }, flat) {
  const receive = await receiveLimit(path);
  const memory = await fileLimit(path);
  const hash = await hashRate();
  const onDevice = 1 / memory.copy_gb_per_s + 1 / memory.hash_gb_per_s;
  const onHost = flat ? 1 / (hash.cores * hash.both_gb_per_s) : 0;
  const shared = 1 / (receive.cpu_s_per_gb / hash.cores + onDevice + onHost);
  const serial = flat ? hash.message_gb_per_s : Number.POSITIVE_INFINITY;
  return { receive: receive.receive_gb_per_s, all: Math.min(receive.receive_gb_per_s, shared, serial) };
}
