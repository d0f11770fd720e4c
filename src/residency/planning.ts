import type { Inventory } from './inventory.js';
import { type PlanReport, type PlanRequest, place, requiredBytes } from './plan.js';

/** Decides where a model fits, and reserves the memory in the same step if that is asked. @throws WorkerError */
export function plan(inventory: Inventory, request: PlanRequest): PlanReport {
  void inventory.driver;
  const { reservations, options } = inventory;
  const { modelRef, shardBytes, layout, reserveForSeconds } = request;
  reservations.sweep();
  const devices = inventory.devicesOf(request.gpuDevices);
  const report = (outcome: Pick<PlanReport, 'shardPlan' | 'reservation' | 'reason'>): PlanReport => ({
    feasible: outcome.reason === null,
    vramRequiredBytes: requiredBytes(shardBytes, devices),
    devices: devices.map((device) => device.snapshot()),
    ...outcome,
  });

  const modelBytes = shardBytes.reduce((sum, bytes) => sum + bytes, 0);
  if (modelBytes > options.maxModelBytes) {
    const detail = `a model may have up to ${options.maxModelBytes} bytes`;
    const sizes = { neededBytes: modelBytes, availableBytes: options.maxModelBytes };
    return report({ shardPlan: [], reservation: null, reason: { code: 'MODEL_TOO_LARGE', detail, ...sizes } });
  }
  const placement = place(shardBytes, layout, devices);
  if (!placement.fits) return report({ shardPlan: [], reservation: null, reason: placement.reason });
  const shardPlan = placement.shards;
  if (reserveForSeconds === undefined) return report({ shardPlan, reservation: null, reason: null });
  inventory.requireOpen();
  const reservation = reservations.hold(modelRef, shardPlan, inventory.devices, reserveForSeconds);
  return report({ shardPlan, reservation, reason: null });
}
