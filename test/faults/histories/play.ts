import assert from 'node:assert/strict';
import type { InjectOptions } from 'fastify';
import { unlessShed } from '../shed.js';
import type { Answer, Wish } from './model.js';
import { OpenUpload } from './open_upload.js';
import { mappedBytes } from './reservations.js';
import type { PlanDraw, Step } from './steps.js';
import { fieldsOf, pickId, queryOf, wishOf } from './wish.js';
import type { Heard, World } from './world.js';

const mostOpen = 5;

/** Every kind of answer on which worker and model agreed. */
export const answers = new Set<string>();

/** Runs one step on the worker and on the model. @throws AssertionError if their answers differ */
export async function play(world: World, step: Step): Promise<void> {
  switch (step.do) {
    case 'plan':
      return await plan(world, step.plan);
    case 'renew':
    case 'drop':
      return await reservation(world, step);
    case 'upload':
    case 'file':
      return await commit(world, wishOf(world, step.commit), step.do);
    case 'open':
      return await open(world, wishOf(world, step.commit));
    case 'finish':
    case 'abort':
      return await end(world, step.do, step.pick);
    case 'release':
      return await release(world, `s-${step.shard}`);
    case 'verify':
      return await verify(world, `s-${step.shard}`);
    case 'verifyHandle':
      return await verifyHandle(world, step.pick);
    case 'wait':
      world.nowMs += step.seconds * 1000;
      return;
    case 'restart':
      return await world.restart();
  }
}

function agrees(heard: Heard, answer: Answer): void {
  const { code = null, availableBytes } = answer;
  answers.add(`${answer.status} ${code ?? ''}`.trim());
  assert.deepEqual([heard.status, heard.json?.code ?? null], [answer.status, code], JSON.stringify(heard.json));
  if (availableBytes !== undefined) assert.equal(heard.json.available_bytes, availableBytes);
}

async function plan(world: World, { model, sizes, layout, devices, ttlSeconds }: PlanDraw): Promise<void> {
  const modelRef = `model-${model}`;
  const payload = {
    model_ref: modelRef,
    shards: sizes.map((bytes) => ({ bytes })),
    shard_layout: layout,
    gpu_devices: devices,
    ...(ttlSeconds === undefined ? {} : { reserve: true, ttl_seconds: ttlSeconds }),
  };
  const { status, json } = await world.request({ method: 'POST', url: '/v1/plan', payload });
  const places = world.model.place(sizes, layout, devices);
  assert.equal(status, 200);
  assert.equal(json.feasible, places !== null);
  assert.equal(json.reason?.code, places === null ? 'VRAM_OOM' : undefined);
  assert.equal(
    json.vram_required,
    sizes.reduce((sum, bytes) => sum + mappedBytes(bytes), 0),
  );
  const parts = (places ?? []).map((device, index) => ({
    index,
    total: sizes.length,
    device,
    bytes: sizes[index] ?? 0,
  }));
  const planned = parts.map(({ index, total, device, bytes }) => ({
    shard_index: index,
    total_shards: total,
    gpu_device: device,
    vram_bytes: bytes,
  }));
  assert.deepEqual(json.shard_plan, planned);
  assert.equal(json.reservation !== null, places !== null && ttlSeconds !== undefined);
  if (json.reservation === null || ttlSeconds === undefined) return;
  world.model.reservations.hold(json.reservation.reservation_id, modelRef, parts, ttlSeconds);
}

async function reservation(world: World, step: Extract<Step, { do: 'renew' | 'drop' }>): Promise<void> {
  const id = pickId(world, step.reservation);
  const found = world.model.reservations.find(id);
  const url = `/v1/reservations/${id}`;
  const request: InjectOptions =
    step.do === 'drop'
      ? { method: 'DELETE', url }
      : { method: 'POST', url: `${url}/renew`, payload: { ttl_seconds: step.ttlSeconds } };
  const heard = await world.request(request);
  if ('refused' in found) return agrees(heard, found.refused);
  agrees(heard, { status: step.do === 'drop' ? 204 : 200 });
  if (step.do === 'drop') found.dropped = true;
  else world.model.reservations.renew(found, step.ttlSeconds);
}

async function commit(world: World, wish: Wish, how: 'upload' | 'file'): Promise<void> {
  const { bytes, file } = world.content(wish.bytes, wish.content);
  const url = '/v1/commit';
  const request: InjectOptions =
    how === 'file'
      ? { method: 'POST', url, payload: { ...fieldsOf(world, wish), source: { type: 'file', path: file } } }
      : { method: 'PUT', url, query: queryOf(world, wish), payload: bytes };
  const heard = await world.request(request);
  const admission = world.model.admit(wish);
  if ('refused' in admission) return agrees(heard, admission.refused);
  if ('existing' in admission) return expectExistingHandle(world, heard, wish);
  if ('compares' in admission) {
    const answer = world.model.compare(admission.compares, wish);
    return answer.status === 200 ? expectExistingHandle(world, heard, wish) : agrees(heard, answer);
  }
  sealed(world, heard, wish);
}

/** A retry gets the handle of the existing shard. */
function expectExistingHandle(world: World, heard: Heard, wish: Wish): void {
  agrees(heard, { status: 200 });
  assert.equal(heard.json.handle, world.model.shards.get(wish.shardId)?.handle);
}

function sealed(world: World, heard: Heard, wish: Wish): void {
  const shard = world.model.shards.get(wish.shardId);
  assert.ok(shard);
  const answer = world.model.seal(shard);
  agrees(heard, answer);
  if (answer.status !== 201) return;
  const { digest, tree } = world.content(wish.bytes, wish.content);
  const { handle, shard: view } = heard.json;
  const flat = wish.expects === 'treeOnly' ? null : digest;
  const reported = [view.gpu_device, view.vram_bytes, view.digest, view.tree_digest, view.state];
  assert.deepEqual(reported, [shard.device, wish.bytes, flat, tree, 'sealed']);
  shard.handle = handle;
  world.handles.push({ shardId: wish.shardId, handle, stale: false });
}

/** Starts an upload and sends half of it. */
async function open(world: World, wish: Wish): Promise<void> {
  if (world.open.length === mostOpen) return;
  const { bytes } = world.content(wish.bytes, wish.content);
  const start = async () => {
    const upload = new OpenUpload(world.worker.url, queryOf(world, wish), bytes.length);
    return { upload, refusal: (await upload.admitted()) ? undefined : await upload.heard };
  };
  const { upload, refusal } = await unlessShed(start, (started) => started.refusal?.body ?? '');
  const admitted = refusal === undefined;
  const admission = world.model.admit(wish);
  if ('refused' in admission || 'existing' in admission) {
    assert.ok(!admitted, 'the worker requested a body that the model refuses');
    const heard = { status: refusal.status, json: JSON.parse(refusal.body) };
    return 'refused' in admission ? agrees(heard, admission.refused) : expectExistingHandle(world, heard, wish);
  }
  assert.ok(admitted, `the worker refused a body that the model accepts: ${refusal?.body}`);
  upload.send(bytes.subarray(0, bytes.length >> 1));
  const compares = 'compares' in admission;
  world.open.push({ upload, wish, shard: compares ? admission.compares : admission.shard, compares });
}

async function end(world: World, how: 'finish' | 'abort', pick: number): Promise<void> {
  const [half] = world.open.splice(pick % Math.max(1, world.open.length), 1);
  if (half === undefined) return;
  const { upload, wish, shard, compares } = half;
  if (how === 'abort') {
    upload.leave();
    await world.settled();
    if (!compares) world.model.fail(shard);
    return;
  }
  const { bytes } = world.content(wish.bytes, wish.content);
  const { status, body } = await upload.finish(bytes.subarray(bytes.length >> 1));
  const heard = { status, json: JSON.parse(body) };
  if (!compares) return sealed(world, heard, wish);
  const answer = world.model.compare(shard, wish);
  return answer.status === 200 ? expectExistingHandle(world, heard, wish) : agrees(heard, answer);
}

async function release(world: World, shardId: string): Promise<void> {
  const heard = await world.request({ method: 'DELETE', url: `/v1/shards/${shardId}` });
  const answer = world.model.touch(shardId, 204);
  agrees(heard, answer);
  if (answer.status === 204) world.model.shards.delete(shardId);
}

async function verify(world: World, shardId: string): Promise<void> {
  const heard = await world.request({ method: 'POST', url: `/v1/shards/${shardId}/verify` });
  agrees(heard, world.model.touch(shardId, 200));
  if (heard.status === 200) assert.equal(heard.json.verified, true);
}

async function verifyHandle(world: World, pick: number): Promise<void> {
  const known = world.handles[pick % Math.max(1, world.handles.length)];
  if (known === undefined) return;
  const payload = { handle: known.handle };
  const { status, json } = await world.request({ method: 'POST', url: '/v1/handles/verify', payload });
  const reason = world.model.verdict(known);
  assert.deepEqual([status, json.valid, json.reason], [200, reason === null, reason]);
}
