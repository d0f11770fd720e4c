import Type, { type Static } from 'typebox';
import { GpuDevice } from './common.js';
import { Bytes, namedSchema } from './make.js';
import { refTo } from './ref.js';

export const Device = namedSchema(
  'Device',
  {
    gpu_device: GpuDevice,
    name: Type.String(),
    uuid: Type.String(),
    total_bytes: Bytes('All of its memory.'),
    free_bytes: Bytes('What the driver says is free.'),
    reserved_bytes: Bytes('Held by reservations and by commits in flight.'),
    available_bytes: Bytes('What a new plan or commit can have.'),
  },
  'A GPU of this host and its memory.',
);
export type DeviceView = Static<typeof Device>;

export const DeviceList = namedSchema('DeviceList', { devices: Type.Array(refTo(Device)) }, 'The GPUs of this worker.');
