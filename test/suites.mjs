/** Each starts dozens of processes. */
const commands = [
  ...['pull', 'pull_worker', 'push', 'shards', 'usage', 'wait'].map((name) => `test/system/commands/${name}.test.ts`),
  'test/system/node_client/package.test.ts',
];
/** Each waits for time limits of the worker, or occupies a core, for most of a minute. The last one needs `make -C cuda asan`. */
const slowFaults = ['hung_files', 'slow_uploads', 'refused_uploads', 'unread_responses', 'lifetime'].map(
  (name) => `test/faults/${name}.test.ts`,
);
/** Occupies both cores for a minute. */
const bench = 'test/system/bench.test.ts';

/**
 * The suites: the folders of each, the folders that it leaves out, the environment of its tests, and whether their temporary
 * files are in memory.
 * README.md says what each one proves.
 */
export const suites = {
  main: {
    paths: ['test'],
    except: [
      'test/system',
      'test/faults',
      'test/gpu',
      'test/engine',
      'test/deploy',
      'test/ui',
      'test/peers',
      'test/sources/hostile',
    ],
    isInMemory: true,
  },
  system: { paths: ['test/system'], except: [...commands, bench] },
  commands: { paths: commands },
  bench: { paths: [bench] },
  engine: { paths: ['test/engine'] },
  deploy: { paths: ['test/deploy'] },
  ui: { paths: ['test/ui'] },
  peers: { paths: ['test/peers'] },
  faults: { paths: ['test/faults', 'test/sources/hostile'], except: slowFaults },
  slow_faults: { paths: slowFaults },
  source: {
    paths: [
      'test/end_to_end',
      'test/http/routes/commit.test.ts',
      'test/http/routes/upload.test.ts',
      'test/residency/commit',
      'test/residency/integrity',
    ],
    env: { CUDA_SIM_ENGINE: 'source' },
  },
};
