import type { Actor } from '../audit/actor.js';
import type { Frame } from '../ipc/frame.js';
import type { Outbox } from '../ipc/outbox.js';
import type { UnreadDescriptors } from '../ipc/unread_descriptors.js';
import type { Residency } from '../residency/residency.js';
import type { LeaseHolder } from '../residency/state/lease.js';
import { momentNow } from '../vram/moment.js';
import { answers } from './answers.js';
import { readAttach, readDetach, readList, readResume } from './requests.js';

/** The session of a request. */
export interface Requester {
  readonly residency: Residency;
  readonly holder: LeaseHolder;
  readonly outbox: Outbox;
  readonly unread: UnreadDescriptors;
}

/** Processes a request and sends its answer. @throws WorkerError */
export type Operation = (requester: Requester, request: Frame, id: number) => Promise<void> | void;

const list: Operation = ({ residency, outbox }, request, id) => {
  const { model_ref: modelRef, gpu_uuid: gpuUuid, cursor, limit = 100 } = readList(request);
  const page = residency.shards({
    limit,
    ...(modelRef === undefined ? {} : { modelRef }),
    ...(gpuUuid === undefined ? {} : { gpuUuid }),
    ...(cursor === undefined ? {} : { cursor }),
  });
  outbox.send(answers.shards(id, page));
};

const attach: Operation = async ({ residency, holder, outbox, unread }, request, id) => {
  const askedAt = momentNow();
  const wanted = readAttach(request);
  const grant = await residency.leases.attach(holder, { ...wanted, askedAt, actor: actorOf(holder) });
  try {
    await outbox.handOver((socket) =>
      unread.send(holder.peer, grant.descriptorCount, socket, () =>
        grant.handOver(socket, (terms) => answers.attached(id, terms)),
      ),
    );
  } catch (error) {
    grant.cancel();
    throw error;
  }
  residency.leases.attached((performance.now() - askedAt.monotonicMs) / 1000);
};

const detach: Operation = ({ residency, holder, outbox }, request, id) => {
  residency.leases.detach(readDetach(request).lease_id, holder);
  outbox.send(answers.detached(id));
};

const resume: Operation = async ({ residency, holder, outbox }, request, id) => {
  const { lease_id: leaseId, allocation_id: allocationId } = readResume(request);
  const { damage, ...documents } = await residency.leases.resume(leaseId, allocationId, holder);
  outbox.send(answers.resumed(id, documents));
  if (damage !== undefined) holder.notify(damage);
};

/** The requests after the greeting, by type. */
export const operations: ReadonlyMap<string, Operation> = new Map([
  ['list', list],
  ['attach', attach],
  ['detach', detach],
  ['resume', resume],
]);

const actorOf = ({ peer }: LeaseHolder): Actor => ({ name: `uid:${peer.uid}`, requestId: null });
