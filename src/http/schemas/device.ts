import Type, { type Static } from 'typebox';
import { GpuDevice } from './common.js';
import { Bytes, namedSchema } from './make.js';
import { refTo } from './ref.js';

export const Device = namedSchema(
  'Device',
  {
    gpu_device: GpuDevice,
    name: Type.String({ description: 'Name that the driver reports.' }),
    uuid: Type.String({ description: 'UUID that the driver reports.' }),
    total_bytes: Bytes('Size of the memory in bytes.'),
    free_bytes: Bytes(
      'Memory that shards, commits in progress and other processes leave free. It includes reserved memory.',
    ),
    reserved_bytes: Bytes('Memory held by reservations.'),
    available_bytes: Bytes('Memory that a new plan or commit can use.'),
    zombie_bytes: Bytes('Memory of released shards that other processes still have.'),
  },
  'A GPU and its memory.',
);
export type DeviceJson = Static<typeof Device>;

export const DeviceList = namedSchema(
  'DeviceList',
  { devices: Type.Array(refTo(Device), { description: 'The GPUs that the worker uses.' }) },
  'The GPUs of this worker.',
);
