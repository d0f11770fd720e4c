import Type, { type Static } from 'typebox';
import { Compile } from 'typebox/compile';

/** The fields of a problem (RFC 9457) that the commands read. */
export const Problem = Type.Object({
  code: Type.String(),
  detail: Type.String(),
  status: Type.Integer(),
  retriable: Type.Boolean(),
  retry_after_ms: Type.Optional(Type.Number()),
  rule: Type.Optional(Type.String()),
});
export type Problem = Static<typeof Problem>;

const isProblem = Compile(Problem);

/** The problem that a body is; undefined if it is none. */
export const problemIn = (body: unknown): Problem | undefined => (isProblem.Check(body) ? body : undefined);
