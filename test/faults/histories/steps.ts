import fc from 'fast-check';
import { type Expects, expectations } from './model.js';

const mebibyte = 1024 * 1024;

/** Lengths around the granule of 2 MiB, for devices of a few granules. */
export const lengths = [1, 4097, 2 * mebibyte - 1, 2 * mebibyte, 2 * mebibyte + 1, 4 * mebibyte, 6 * mebibyte + 5];

/** A random commit. `reservation` selects one of this history, or one that never existed. */
export interface CommitDraw {
  readonly shard: number;
  readonly model: number;
  readonly part: number;
  readonly total: number;
  readonly bytes: number;
  readonly content: number;
  readonly device: number | undefined;
  readonly reservation: number | undefined;
  /** Uses the fields of a part of that reservation instead of the random ones. */
  readonly fits: boolean;
  readonly expects: Expects;
}

export interface PlanDraw {
  readonly model: number;
  readonly sizes: readonly number[];
  readonly layout: string;
  readonly devices: readonly number[] | undefined;
  readonly ttlSeconds: number | undefined;
}

export type Step =
  | { readonly do: 'plan'; readonly plan: PlanDraw }
  | { readonly do: 'renew'; readonly reservation: number; readonly ttlSeconds: number | undefined }
  | { readonly do: 'drop'; readonly reservation: number }
  | { readonly do: 'upload' | 'file' | 'open'; readonly commit: CommitDraw }
  | { readonly do: 'finish' | 'abort'; readonly pick: number }
  | { readonly do: 'release' | 'verify'; readonly shard: number }
  | { readonly do: 'verifyHandle'; readonly pick: number }
  | { readonly do: 'wait'; readonly seconds: number }
  | { readonly do: 'restart' };

const small = fc.nat({ max: 3 });
const maybe = <T>(some: fc.Arbitrary<T>) => fc.option(some, { nil: undefined });
const ttlSeconds = fc.constantFrom(1, 60, 3600);

const commit: fc.Arbitrary<CommitDraw> = fc
  .record({
    shard: small,
    model: fc.nat({ max: 1 }),
    part: fc.nat({ max: 1 }),
    total: fc.constantFrom(1, 1, 2),
    bytes: fc.constantFrom(...lengths),
    content: fc.nat({ max: 1 }),
    device: fc.option(fc.constantFrom(0, 1, 1, 0, 9), { nil: undefined, freq: 2 }),
    reservation: maybe(small),
    fits: fc.boolean(),
    expects: fc.constantFrom(...expectations),
  })
  .map((draw) => ({ ...draw, part: draw.part % draw.total }));

const plan: fc.Arbitrary<PlanDraw> = fc.record({
  model: fc.nat({ max: 1 }),
  sizes: fc.array(fc.constantFrom(...lengths), { minLength: 1, maxLength: 2 }),
  layout: fc.constantFrom('single', 'tensor_parallel'),
  devices: maybe(fc.constantFrom([0], [1], [0, 1])),
  ttlSeconds: fc.option(ttlSeconds, { nil: undefined, freq: 3 }),
});

const weighted = (weight: number, arbitrary: fc.Arbitrary<Step>) => ({ weight, arbitrary });
const word = <T extends Step['do']>(name: T) => fc.constant(name);

const step: fc.Arbitrary<Step> = fc.oneof(
  weighted(6, fc.record({ do: word('plan'), plan })),
  weighted(2, fc.record({ do: word('renew'), reservation: small, ttlSeconds: maybe(ttlSeconds) })),
  weighted(2, fc.record({ do: word('drop'), reservation: small })),
  weighted(8, fc.record({ do: fc.constantFrom('upload' as const, 'file' as const), commit })),
  weighted(4, fc.record({ do: word('open'), commit })),
  weighted(4, fc.record({ do: fc.constantFrom('finish' as const, 'abort' as const), pick: small })),
  weighted(4, fc.record({ do: word('release'), shard: small })),
  weighted(2, fc.record({ do: word('verify'), shard: small })),
  weighted(2, fc.record({ do: word('verifyHandle'), pick: fc.nat({ max: 9 }) })),
  weighted(3, fc.record({ do: word('wait'), seconds: fc.constantFrom(0.5, 1, 59, 60, 3600, 7300) })),
  weighted(1, fc.record({ do: word('restart') })),
);

export const history: fc.Arbitrary<Step[]> = fc.array(step, { minLength: 1, maxLength: 30, size: 'max' });
