/** The C prototypes of the functions that `Library` binds, in the notation of koffi. */
export const prototypes = [
  'vram_open(const vram_options *options, _Out_ uint64_t *driver)',
  'vram_open_device(uint64_t driver, uint32_t device)',
  'vram_driver_get_info(uint64_t driver, _Out_ vram_driver_info *info)',
  'vram_close(uint64_t driver)',
  'vram_staging(uint64_t driver, _Out_ void **base, _Out_ uint32_t *slots)',
  'vram_device_count(uint64_t driver, _Out_ uint32_t *count)',
  'vram_device_get_info(uint64_t driver, uint32_t device, _Out_ vram_device_info *info)',
  'vram_alloc(uint64_t driver, uint32_t device, uint64_t bytes, uint32_t flags, _Out_ uint64_t *allocation)',
  'vram_allocation_get_info(uint64_t allocation, _Out_ vram_allocation_info *info)',
  'vram_hand_over(uint64_t allocation, int32_t socket, const uint8_t *frame, uint64_t bytes, _Out_ uint64_t *sent)',
  'vram_adopt(uint64_t driver, uint32_t device, uint64_t bytes, uint64_t part_bytes, const int32_t *descriptors, uint32_t count, _Out_ uint64_t *allocation)',
  'vram_leave(uint64_t allocation)',
  'vram_seal(uint64_t allocation)',
  'vram_attest(uint64_t allocation, _Out_ vram_residency *residency)',
  'vram_digest(uint64_t allocation, uint64_t offset, uint64_t bytes, uint8_t *hashes, uint64_t hashes_bytes)',
  'vram_prove(uint64_t allocation, _Out_ vram_residency *residency, uint8_t *hashes, uint64_t hashes_bytes)',
  'vram_file_open(const char *directory, const char *path, _Out_ uint64_t *file)',
  'vram_link_open(const char *directory, const char *path, _Out_ uint64_t *file)',
  'vram_list_open(const char *directory, const char *path, uint32_t max_entries, _Out_ uint64_t *file)',
  'vram_file_reopen(uint64_t file, _Out_ uint64_t *reopened)',
  'vram_file_stat(uint64_t file)',
  'vram_file_get_info(uint64_t file, _Out_ vram_file_info *info)',
  'vram_file_read(uint64_t file, const vram_file_range *range, uint8_t *bytes, uint64_t size, _Out_ uint64_t *read)',
  'vram_file_close(uint64_t file)',
  'vram_repair(uint64_t allocation, uint64_t file, const vram_file_range *range, const uint8_t *hashes, uint64_t size, _Out_ uint64_t *repaired)',
  'vram_repair_bytes(uint64_t allocation, uint64_t offset, const uint8_t *data, uint64_t bytes, const uint8_t *hashes, uint64_t size)',
  'vram_free(uint64_t allocation)',
  'vram_load_open(uint64_t allocation, uint32_t flags, _Out_ uint64_t *load)',
  'vram_load_open_host(uint64_t driver, uint64_t bytes, uint32_t flags, _Out_ uint64_t *load)',
  'vram_load_open_writer(uint64_t load, _Out_ uint64_t *writer)',
  'vram_load_seek(uint64_t load, uint64_t offset)',
  'vram_load_push_slots(uint64_t load, const uint32_t *slots, uint32_t count, uint64_t bytes)',
  'vram_load_file(uint64_t load, uint64_t file, const vram_file_range *range, _Out_ uint64_t *received)',
  'vram_load_socket(uint64_t load, int32_t socket, uint64_t bytes, uint32_t wait_ms, const uint32_t *slots, uint32_t count, _Out_ uint64_t *received)',
  'vram_load_seal(uint64_t load, _Out_ uint64_t *sealed_bytes)',
  'vram_load_complete(uint64_t load, uint32_t slot, uint64_t bytes, _Out_ vram_load_result *result)',
  'vram_load_prove(uint64_t load, uint32_t slot, uint64_t bytes, _Out_ vram_load_result *result, _Out_ vram_residency *residency, uint8_t *hashes, uint64_t hashes_bytes)',
  'vram_load_close(uint64_t load)',
  'vram_tree_digest(const uint8_t *hashes, uint64_t count, uint64_t bytes, uint8_t *digest)',
] as const;

type NameOf<P> = P extends `${infer Name}(${string}` ? Name : never;
/** The bound functions of the C ABI. `vram_read` and `vram_write` are left out: the worker never reads weights back. */
export type NativeName = NameOf<(typeof prototypes)[number]>;

/** The functions that may be called on the event loop. None waits for a lock that a call of the driver or of a file holds. */
export type ImmediateName = Extract<
  NativeName,
  // Wait for vram_open_device() and vram_close(): only for the start, which makes one call at a time.
  | 'vram_device_count'
  | 'vram_driver_get_info'
  | 'vram_staging'
  // Return VRAM_BUSY instead of waiting.
  | 'vram_load_open'
  | 'vram_load_seek'
  // Threads of libvram call the file system, and hold no lock then.
  | 'vram_file_open'
  | 'vram_link_open'
  | 'vram_list_open'
  | 'vram_file_reopen'
  | 'vram_file_stat'
  | 'vram_file_get_info'
  | 'vram_file_close'
  // Uses no object.
  | 'vram_tree_digest'
>;
