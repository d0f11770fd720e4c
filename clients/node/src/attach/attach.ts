import { AttachClient } from './attach_client.js';
import type { AttachRequest, ConnectOptions } from './attach_options.js';
import type { Lease } from './lease.js';

/** Connects to a worker's attach socket. @throws AttachError */
export function connect(options: ConnectOptions = {}): Promise<AttachClient> {
  return AttachClient.connect(options);
}

/** Attaches a shard over a connection of its own, which ends with the lease. @throws AttachError */
export async function attach(options: ConnectOptions & AttachRequest): Promise<Lease> {
  const client = await AttachClient.connect(options);
  try {
    return await client.attachOnly(options);
  } catch (error) {
    await client.close();
    throw error;
  }
}
