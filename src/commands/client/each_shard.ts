import { ProblemError } from './client_error.js';
import { printNote } from './output.js';
import type { Problem } from './problem.js';
import { clientStatus } from './status.js';

export interface ShardAction {
  /** Resolves with whether the result is good. */
  readonly act: (shardId: string) => Promise<boolean>;
  readonly onProblem?: (shardId: string, problem: Problem) => void;
}

/**
 * Acts on each shard in turn, also after a problem with another one. Resolves with the exit status.
 * @throws UnreachableError, PeerError, and ProblemError if the token is refused
 */
export async function eachShard(shardIds: readonly string[], { act, onProblem }: ShardAction): Promise<number> {
  const statuses = new Set<number>();
  for (const shardId of shardIds) {
    try {
      statuses.add((await act(shardId)) ? clientStatus.done : clientStatus.failed);
    } catch (error) {
      if (!(error instanceof ProblemError) || error.status === clientStatus.noPermission) throw error;
      statuses.add(error.status);
      printNote(`${shardId}: ${error.message}`);
      onProblem?.(shardId, error.problem);
    }
  }
  if (statuses.has(clientStatus.failed)) return clientStatus.failed;
  return statuses.has(clientStatus.temporary) ? clientStatus.temporary : clientStatus.done;
}
