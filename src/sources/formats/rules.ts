/**
 * The rules that a model's files can break, and the sentence of each error. The set is closed: clients match names.
 * A sentence never repeats text of the file.
 */
export const formatRules = {
  unknown_format: 'The file is neither GGUF nor safetensors',
  truncated: 'The file ends inside its header',
  header_limit: 'The header is larger than the worker reads: raise WORKER_SOURCE_HEADER_BYTES',
  too_many_names: 'The model has more than 2,000,000 tensors and keys',

  gguf_version: 'The GGUF version is not 2 or 3: convert the file again with a current converter',
  gguf_byte_order: 'The GGUF file is big-endian: convert it to little-endian',
  gguf_counts: 'The GGUF file declares more keys or tensors than fit into it',
  gguf_key: 'A GGUF key is empty, longer than 65535 bytes, not UTF-8, or contains NUL',
  gguf_duplicate_key: 'A GGUF key occurs twice',
  gguf_value_type: 'A GGUF value has an unknown type',
  gguf_array: 'A GGUF array is nested, or longer than the file',
  gguf_string: 'A GGUF string is longer than the file, or not UTF-8',
  gguf_bool: 'A GGUF bool is not 0 or 1',
  gguf_alignment: 'The GGUF key general.alignment is not a u32 that is a power of two',
  gguf_tensor_name: 'A GGUF tensor name is not 1 to 63 bytes of UTF-8 without NUL',
  gguf_duplicate_tensor: 'A GGUF tensor name occurs twice',
  gguf_dimensions: 'A GGUF tensor has more than 4 dimensions, or too many elements',
  gguf_tensor_type: 'A GGUF tensor has an unknown type',
  gguf_removed_type: 'A GGUF tensor has a type that was removed: quantize the model again',
  gguf_block: 'The first dimension of a GGUF tensor is not a multiple of the block size of its type',
  gguf_offset: 'A GGUF tensor does not start at the aligned end of the previous tensor',
  gguf_tensor_end: 'A GGUF tensor ends after the file: the file is incomplete',
  gguf_trailing_bytes: 'The GGUF file has bytes after its last tensor that are not padding',

  split_keys: 'The keys split.no, split.count and split.tensors.count are missing, out of range, or of another type',
  split_name: 'The file name does not match split.no and split.count: it must end in -NNNNN-of-MMMMM.gguf',
  split_missing: 'A file of the split GGUF is missing',
  split_tensors: 'The files of the split GGUF do not have split.tensors.count tensors',
  split_duplicate_tensor: 'Two files of the split GGUF have a tensor of the same name',

  safetensors_header_length: 'The safetensors header is larger than 100 MB or than the file',
  safetensors_utf8: 'The safetensors header is not UTF-8',
  safetensors_json: 'The safetensors header is not a JSON object',
  safetensors_duplicate_key: 'A key of the safetensors header occurs twice',
  safetensors_trailing_text: 'The safetensors header has other characters than spaces after its object',
  safetensors_metadata: 'The value of __metadata__ is not an object of strings',
  safetensors_fields: 'A safetensors tensor does not have exactly dtype, shape and data_offsets',
  safetensors_integer: 'A dimension or offset of the safetensors header is not an integer from 0 to 2^53 - 1',
  safetensors_dtype: 'A safetensors tensor has an unknown dtype',
  safetensors_overflow: 'A safetensors tensor has 2^53 or more elements or bytes',
  safetensors_size: 'The offsets of a safetensors tensor do not match its dtype and shape',
  safetensors_offsets: 'The safetensors tensors leave a hole, overlap, or do not end at the end of the file',

  index_json: 'The index is not a JSON object with a weight_map of strings',
  index_duplicate_key: 'A key of the index occurs twice',
  index_file_name: 'The index names a file that is not next to it: only plain file names are allowed',
  index_file_count: 'The index names more than 10,000 files',
  index_incomplete: 'The index does not name all files from -00001-of-MMMMM to -MMMMM-of-MMMMM',
  index_file_missing: 'The index names a file that is missing, or is not a safetensors file',
  index_tensor_missing: 'The index names a tensor that is not in the named file',
  index_tensor_elsewhere: 'A tensor of the index is in more than one file',
} as const;

export type FormatRule = keyof typeof formatRules;
