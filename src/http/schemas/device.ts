import Type, { type Static } from 'typebox';
import { GpuDevice } from './common.js';
import { Bytes, namedSchema } from './make.js';
import { refTo } from './ref.js';

export const Device = namedSchema(
  'Device',
  {
    gpu_device: GpuDevice,
    name: Type.String({ description: 'Name from the driver.' }),
    uuid: Type.String({ description: 'UUID from the driver.' }),
    total_bytes: Bytes('Total memory.'),
    free_bytes: Bytes('Free memory as the driver reports it.'),
    reserved_bytes: Bytes('Memory held by reservations and by commits in progress.'),
    available_bytes: Bytes('Memory that a new plan or commit can use.'),
  },
  'A GPU and its memory.',
);
export type DeviceJson = Static<typeof Device>;

export const DeviceList = namedSchema('DeviceList', { devices: Type.Array(refTo(Device)) }, 'The GPUs of this worker.');
