import type { Wish } from './model.js';
import type { CommitDraw } from './steps.js';
import type { World } from './world.js';

const unknownReservation = '00000000-0000-4000-8000-000000000000';

/** A reservation of this history, or one that never existed. */
export const pickId = (world: World, pick: number): string =>
  [...world.model.reservations.byId.keys()][pick] ?? unknownReservation;

/** The random commit with the IDs of this history. */
export function wishOf(world: World, draw: CommitDraw): Wish {
  const reservationId = draw.reservation === undefined ? undefined : pickId(world, draw.reservation);
  const reservation = world.model.reservations.byId.get(reservationId ?? '');
  const part = draw.fits ? reservation?.parts[draw.part % reservation.parts.length] : undefined;
  return {
    shardId: `s-${draw.shard}`,
    modelRef: (draw.fits ? reservation?.modelRef : undefined) ?? `model-${draw.model}`,
    shardIndex: part?.index ?? draw.part,
    totalShards: part?.total ?? draw.total,
    bytes: draw.bytes,
    content: draw.content,
    gpuDevice: draw.device,
    reservationId,
    expects: draw.expects,
  };
}

/** The JSON fields of a commit. */
export function fieldsOf(world: World, wish: Wish): Record<string, string | number | boolean> {
  const { digest, tree } = world.content(wish.bytes, wish.content);
  const fields = {
    shard_id: wish.shardId,
    model_ref: wish.modelRef,
    shard_index: wish.shardIndex,
    total_shards: wish.totalShards,
    gpu_device: wish.gpuDevice,
    reservation_id: wish.reservationId,
    expected_digest: { sha256: digest, both: digest, wrong: `sha256:${'0'.repeat(64)}` }[wish.expects as 'both'],
    expected_tree_digest: ['tree', 'both', 'treeOnly'].includes(wish.expects) ? tree : undefined,
    flat_digest: wish.expects === 'treeOnly' ? false : undefined,
  };
  const given = Object.entries(fields).flatMap(([name, value]) =>
    value === undefined ? [] : [[name, value] as const],
  );
  return Object.fromEntries(given);
}

/** The same fields as the query of an upload. */
export const queryOf = (world: World, wish: Wish): Record<string, string> =>
  Object.fromEntries(Object.entries(fieldsOf(world, wish)).map(([name, value]) => [name, String(value)]));
