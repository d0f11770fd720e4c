import t from 'tap';
import { hasQuantization, patternsOf } from '../../src/sources/quantization.js';

/** Names of files in GGUF repositories, by repository. */
const repositories: Readonly<Record<string, readonly string[]>> = {
  'bartowski/Meta-Llama-3.1-8B-Instruct-GGUF': [
    ...['IQ2_M', 'IQ3_M', 'IQ3_XS', 'IQ4_XS', 'Q2_K', 'Q2_K_L', 'Q3_K_L', 'Q3_K_M', 'Q3_K_S', 'Q3_K_XL', 'Q4_0'],
    ...['Q4_0_4_4', 'Q4_0_4_8', 'Q4_0_8_8', 'Q4_K_L', 'Q4_K_M', 'Q4_K_S', 'Q5_K_M', 'Q6_K', 'Q6_K_L', 'Q8_0', 'f32'],
  ].map((quantization) => `Meta-Llama-3.1-8B-Instruct-${quantization}.gguf`),
  'TheBloke/Mistral-7B-Instruct-v0.2-GGUF': ['Q2_K', 'Q3_K_L', 'Q4_0', 'Q4_K_M', 'Q5_0', 'Q6_K', 'Q8_0'].map(
    (quantization) => `mistral-7b-instruct-v0.2.${quantization}.gguf`,
  ),
  'Qwen/Qwen2.5-7B-Instruct-GGUF': [
    ...['1', '2', '3', '4'].map((number) => `qwen2.5-7b-instruct-fp16-0000${number}-of-00004.gguf`),
    'qwen2.5-7b-instruct-q2_k.gguf',
    'qwen2.5-7b-instruct-q4_k_m-00001-of-00002.gguf',
    'qwen2.5-7b-instruct-q4_k_m-00002-of-00002.gguf',
  ],
  'unsloth/Qwen3-30B-A3B-GGUF': [
    'BF16/Qwen3-30B-A3B-BF16-00001-of-00002.gguf',
    'BF16/Qwen3-30B-A3B-BF16-00002-of-00002.gguf',
    ...['IQ4_XS', 'IQ4_NL', 'Q4_1', 'UD-IQ1_S', 'UD-Q2_K_XL', 'UD-Q4_K_XL', 'Q4_K_M'].map(
      (quantization) => `Qwen3-30B-A3B-${quantization}.gguf`,
    ),
  ],
  'unsloth/gemma-3-4b-it-GGUF': [
    'gemma-3-4b-it-BF16.gguf',
    'gemma-3-4b-it-F16.gguf',
    'mmproj-BF16.gguf',
    'mmproj-F16.gguf',
    'mmproj-F32.gguf',
  ],
  'mradermacher/Qwen3-8B-i1-GGUF': ['Qwen3-8B.i1-IQ4_XS.gguf', 'Qwen3-8B.i1-Q4_K_M.gguf', 'Qwen3-8B.imatrix.dat'],
  'microsoft/Phi-3-mini-4k-instruct-gguf': ['Phi-3-mini-4k-instruct-fp16.gguf', 'Phi-3-mini-4k-instruct-q4.gguf'],
  'ggml-org/gpt-oss-20b-GGUF': ['gpt-oss-20b-mxfp4.gguf'],
  'microsoft/BitNet-b1.58-2B-4T-gguf': ['ggml-model-i2_s.gguf'],
};

t.test('a quantization selects the files that have it as a whole word', async (t) => {
  const rows: readonly (readonly [string, string, readonly string[]])[] = [
    ['bartowski/Meta-Llama-3.1-8B-Instruct-GGUF', 'Q4_0', ['Meta-Llama-3.1-8B-Instruct-Q4_0.gguf']],
    ['bartowski/Meta-Llama-3.1-8B-Instruct-GGUF', 'Q2_K', ['Meta-Llama-3.1-8B-Instruct-Q2_K.gguf']],
    ['bartowski/Meta-Llama-3.1-8B-Instruct-GGUF', 'Q6_K', ['Meta-Llama-3.1-8B-Instruct-Q6_K.gguf']],
    ['bartowski/Meta-Llama-3.1-8B-Instruct-GGUF', 'q4_k_m', ['Meta-Llama-3.1-8B-Instruct-Q4_K_M.gguf']],
    ['TheBloke/Mistral-7B-Instruct-v0.2-GGUF', 'Q4_K_M', ['mistral-7b-instruct-v0.2.Q4_K_M.gguf']],
    [
      'Qwen/Qwen2.5-7B-Instruct-GGUF',
      'Q4_K_M',
      ['qwen2.5-7b-instruct-q4_k_m-00001-of-00002.gguf', 'qwen2.5-7b-instruct-q4_k_m-00002-of-00002.gguf'],
    ],
    [
      'unsloth/Qwen3-30B-A3B-GGUF',
      'BF16',
      ['BF16/Qwen3-30B-A3B-BF16-00001-of-00002.gguf', 'BF16/Qwen3-30B-A3B-BF16-00002-of-00002.gguf'],
    ],
    ['unsloth/Qwen3-30B-A3B-GGUF', 'Q4_K_XL', ['Qwen3-30B-A3B-UD-Q4_K_XL.gguf']],
    ['unsloth/Qwen3-30B-A3B-GGUF', 'UD-IQ1_S', ['Qwen3-30B-A3B-UD-IQ1_S.gguf']],
    ['unsloth/gemma-3-4b-it-GGUF', 'F16', ['gemma-3-4b-it-F16.gguf', 'mmproj-F16.gguf']],
    ['unsloth/gemma-3-4b-it-GGUF', 'BF16', ['gemma-3-4b-it-BF16.gguf', 'mmproj-BF16.gguf']],
    ['mradermacher/Qwen3-8B-i1-GGUF', 'Q4_K_M', ['Qwen3-8B.i1-Q4_K_M.gguf']],
    ['microsoft/Phi-3-mini-4k-instruct-gguf', 'q4', ['Phi-3-mini-4k-instruct-q4.gguf']],
    ['ggml-org/gpt-oss-20b-GGUF', 'MXFP4', ['gpt-oss-20b-mxfp4.gguf']],
    ['microsoft/BitNet-b1.58-2B-4T-gguf', 'I2_S', ['ggml-model-i2_s.gguf']],
  ];
  for (const [repository, quantization, expected] of rows) {
    t.same(patternsOf({ quantization }, repositories[repository] ?? []), expected, `${repository}:${quantization}`);
  }
});

t.test('a part of a word selects nothing', async (t) => {
  const rows = [
    ['unsloth/Qwen3-30B-A3B-GGUF', 'F16'],
    ['Qwen/Qwen2.5-7B-Instruct-GGUF', 'F16'],
    ['Qwen/Qwen2.5-7B-Instruct-GGUF', 'Q4_K'],
    ['bartowski/Meta-Llama-3.1-8B-Instruct-GGUF', 'Q4_XS'],
    ['mradermacher/Qwen3-8B-i1-GGUF', 'imatrix'],
  ] as const;
  for (const [repository, quantization] of rows) {
    const chosen = () => patternsOf({ quantization }, repositories[repository] ?? []);
    t.throws(chosen, { code: 'SOURCE_NOT_FOUND' }, `${repository}:${quantization}`);
  }
});

t.test('the name of a folder counts if no file has the quantization', async (t) => {
  const paths = ['Q4_K_M/model-00001-of-00002.gguf', 'Q4_K_M/model-00002-of-00002.gguf', 'Q8_0/model.gguf'];
  t.same(patternsOf({ quantization: 'Q4_K_M' }, paths), paths.slice(0, 2));
  t.ok(hasQuantization('model_q8_0.gguf', 'Q8_0'));
});

t.test('files and a quantization exclude each other, and without both the whole model is chosen', async (t) => {
  t.throws(() => patternsOf({ files: ['*'], quantization: 'Q8_0' }, []), { code: 'INVALID_PARAMS' });
  t.same(patternsOf({ files: ['*.gguf'] }, []), ['*.gguf']);
  t.equal(patternsOf({}, ['a.gguf']), undefined);
});
