export default {
  worker: {
    input: '../../openapi/openapi.json',
    output: { target: 'generated/worker.ts', client: 'axios-functions' },
  },
};
