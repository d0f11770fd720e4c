import fc from 'fast-check';

/** `b` is committed from a file, so the worker repairs it. */
export const shardIds = ['a', 'b'] as const;
export const processCount = 2;

export type Step =
  | { readonly do: 'commit' | 'release' | 'force' | 'verify'; readonly shard: number }
  | { readonly do: 'attach'; readonly shard: number; readonly process: number }
  | { readonly do: 'detach' | 'keep' | 'write' | 'kill' | 'drop' | 'resume' | 'revoke'; readonly process: number }
  /** `restart` stops the worker in order, `crash` by SIGKILL. */
  | { readonly do: 'restart' }
  | { readonly do: 'crash' };

const shard = fc.nat(shardIds.length - 1);
const process = fc.nat(processCount - 1);

/** Steps of a worker that starts again, by `starts`, in one of `rarity` steps. */
export const stepsOf = (starts: readonly ('restart' | 'crash')[], rarity: number): fc.Arbitrary<readonly Step[]> => {
  const step: fc.Arbitrary<Step> = fc.oneof(
    { weight: 3 * rarity, arbitrary: fc.record({ do: fc.constant('commit' as const), shard }) },
    { weight: 4 * rarity, arbitrary: fc.record({ do: fc.constantFrom('release', 'force', 'verify'), shard }) },
    { weight: 6 * rarity, arbitrary: fc.record({ do: fc.constant('attach' as const), shard, process }) },
    {
      weight: 7 * rarity,
      arbitrary: fc.record({
        do: fc.constantFrom('detach', 'keep', 'write', 'kill', 'drop', 'resume', 'revoke'),
        process,
      }),
    },
    { weight: 20, arbitrary: fc.record({ do: fc.constantFrom(...starts) }) },
  );
  return fc.array(step, { minLength: 10, maxLength: 25 });
};
