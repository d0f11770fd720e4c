import { createHash } from 'node:crypto';
import type { Residency } from '../../residency/residency.js';
import type { ReadyQuery } from '../../residency/status/readiness.js';
import { readinessView } from '../serializers/ready.js';

/** An answer of `ready`, serialised. Only one that says yes has an entity tag: a 304 must never hide a no. */
export interface ReadyAnswer {
  readonly status: 200 | 503;
  readonly body: Buffer;
  readonly etag: string | undefined;
}

/** So many different queries are remembered at one revision. */
const maxAnswers = 64;

/** Answers `ready` from memory as long as nothing has changed: orchestrators poll it hard. */
export class ReadyCache {
  readonly #residency: Residency;
  readonly #answers = new Map<string, ReadyAnswer>();
  #revision = '';

  constructor(residency: Residency) {
    this.#residency = residency;
  }

  /** The answer now. One with a nonce, or with an age to keep, is made each time. */
  answer(query: ReadyQuery): ReadyAnswer | Promise<ReadyAnswer> {
    if (query.nonce !== undefined || query.maxAgeSeconds !== undefined) return this.#make(query);
    const { revision } = this.#residency;
    if (revision !== this.#revision) {
      this.#answers.clear();
      this.#revision = revision;
    }
    const key = `${query.withHandles}${query.modelRef ?? '\0'}`;
    return this.#answers.get(key) ?? this.#remember(key, query);
  }

  async #remember(key: string, query: ReadyQuery): Promise<ReadyAnswer> {
    const { revision } = this.#residency;
    const answer = await this.#make(query);
    if (revision === this.#residency.revision && revision === this.#revision) {
      if (this.#answers.size >= maxAnswers) this.#answers.clear();
      this.#answers.set(key, answer);
    }
    return answer;
  }

  async #make(query: ReadyQuery): Promise<ReadyAnswer> {
    const report = await this.#residency.ready(query);
    const body = Buffer.from(JSON.stringify(readinessView(report, this.#residency)));
    const tagged = report.ready && query.nonce === undefined;
    const hash = createHash('sha256').update(body).digest('base64url').slice(0, 22);
    return { status: report.ready ? 200 : 503, body, etag: tagged ? `"${hash}"` : undefined };
  }
}

/** Whether an `If-None-Match` header (RFC 9110 §13.1.2) names this tag. */
export const matches = (header: string | undefined, etag: string): boolean =>
  header?.split(',').some((tag) => tag.trim() === '*' || tag.trim().replace(/^W\//, '') === etag) ?? false;
