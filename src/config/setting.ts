import type { SettingType } from './parse.js';

/** One environment variable that the worker reads. */
export interface Setting<T = unknown> {
  readonly name: `WORKER_${string}`;
  readonly type: SettingType<T>;
  /** The value of an unset variable, as the variable would hold it. Without it, an unset variable is undefined. */
  readonly default?: string | number | (() => string);
  /** The meaning of an unset variable, if `default` is not a constant. */
  readonly unset?: string;
  /** One sentence for `--help` and `docs/configuration.md`. */
  readonly doc: string;
}

/** The type of a setting's value: without a default, it may be undefined. */
export type ValueOf<S> = S extends { readonly type: SettingType<infer T> }
  ? S extends { readonly default: unknown }
    ? T
    : T | undefined
  : never;
