#include "kernel_image.h"

#include <dlfcn.h>
#include <elf.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <string>
#include <utility>

namespace cuda_sim {
namespace {

constexpr uint64_t kMaxImageBytes = 256ull * 1024 * 1024;
constexpr unsigned char kFatbinMagic[] = {0x50, 0xed, 0x55, 0xba};
#if defined(__x86_64__)
constexpr Elf64_Half kMachine = EM_X86_64;
#elif defined(__aarch64__)
constexpr Elf64_Half kMachine = EM_AARCH64;
#else
#error "unsupported architecture: add its ELF machine number"
#endif

/** Reads no further than the first different byte, because the length of an image is unknown. */
bool starts_with(const void *image, const void *prefix, size_t bytes) {
  const auto *actual = static_cast<const unsigned char *>(image);
  const auto *expected = static_cast<const unsigned char *>(prefix);
  for (size_t i = 0; i < bytes; ++i) {
    if (actual[i] != expected[i]) return false;
  }
  return true;
}

bool starts_with(const void *image, std::string_view prefix) {
  return starts_with(image, prefix.data(), prefix.size());
}

/** A memfd that receives a copy of an image. */
class ImageFile {
 public:
  ImageFile() : descriptor_(memfd_create("vram_kernels", MFD_CLOEXEC)) {}
  ~ImageFile() {
    if (descriptor_ >= 0) close(descriptor_);
  }
  ImageFile(const ImageFile &) = delete;
  ImageFile &operator=(const ImageFile &) = delete;

  int get() const { return descriptor_; }
  int release() { return std::exchange(descriptor_, -1); }

  /**
   * Extends the file to the first `bytes` bytes of the image. The system call reads the image, so an unmapped page
   * gives EFAULT instead of a signal. It bypasses libc, because sanitizers check the buffer in libc's write().
   */
  bool copy_up_to(const void *image, uint64_t bytes) {
    while (copied_bytes_ < bytes) {
      const auto *from = static_cast<const char *>(image) + copied_bytes_;
      const long written = syscall(SYS_write, descriptor_, from, bytes - copied_bytes_);
      if (written <= 0) return false;
      copied_bytes_ += static_cast<uint64_t>(written);
    }
    return true;
  }

  template <typename Record>
  bool read_at(uint64_t offset, Record *out_record) const {
    return pread(descriptor_, out_record, sizeof(Record), static_cast<off_t>(offset)) == sizeof(Record);
  }

 private:
  int descriptor_;
  uint64_t copied_bytes_ = 0;
};

bool is_host_library(const Elf64_Ehdr &header) {
  return header.e_ident[EI_CLASS] == ELFCLASS64 && header.e_ident[EI_DATA] == ELFDATA2LSB &&
         header.e_ident[EI_VERSION] == EV_CURRENT && header.e_machine == kMachine && header.e_type == ET_DYN;
}

/** Raises `end` to the end of a part of the file. False if that exceeds the size limit. */
bool extend(uint64_t offset, uint64_t bytes, uint64_t *end) {
  if (offset > kMaxImageBytes || bytes > kMaxImageBytes - offset) return false;
  *end = std::max(*end, offset + bytes);
  return true;
}

/** Copies an ELF file. Its length is the end of its last table, segment or section. */
bool copy_elf(const void *image, const Elf64_Ehdr &header, ImageFile *file) {
  const bool sized =
      header.e_phentsize == sizeof(Elf64_Phdr) && (header.e_shnum == 0 || header.e_shentsize == sizeof(Elf64_Shdr));
  uint64_t end = sizeof(header);
  if (!sized || !extend(header.e_phoff, uint64_t{header.e_phnum} * sizeof(Elf64_Phdr), &end) ||
      !extend(header.e_shoff, uint64_t{header.e_shnum} * sizeof(Elf64_Shdr), &end) || !file->copy_up_to(image, end)) {
    return false;
  }
  for (unsigned i = 0; i < header.e_phnum; ++i) {
    Elf64_Phdr segment;
    if (!file->read_at(header.e_phoff + i * sizeof(segment), &segment)) return false;
    if (!extend(segment.p_offset, segment.p_filesz, &end)) return false;
  }
  for (unsigned i = 0; i < header.e_shnum; ++i) {
    Elf64_Shdr section;
    if (!file->read_at(header.e_shoff + i * sizeof(section), &section)) return false;
    if (section.sh_type != SHT_NOBITS && !extend(section.sh_offset, section.sh_size, &end)) return false;
  }
  return file->copy_up_to(image, end);
}

CUresult load_error(const void *image) {
  const bool is_gpu_code = starts_with(image, ".version") || starts_with(image, "//") ||
                           starts_with(image, kFatbinMagic, sizeof(kFatbinMagic));
  return is_gpu_code ? CUDA_ERROR_NO_BINARY_FOR_GPU : CUDA_ERROR_INVALID_IMAGE;
}

}  // namespace

CUresult KernelImage::load(const void *image, std::unique_ptr<KernelImage> *out_image) {
  if (!starts_with(image, ELFMAG, SELFMAG)) return load_error(image);
  ImageFile file;
  Elf64_Ehdr header;
  if (file.get() < 0) return CUDA_ERROR_OUT_OF_MEMORY;
  if (!file.copy_up_to(image, sizeof(header)) || !file.read_at(0, &header)) return CUDA_ERROR_INVALID_IMAGE;
  if (!is_host_library(header)) return CUDA_ERROR_NO_BINARY_FOR_GPU;
  if (!copy_elf(image, header, &file)) return CUDA_ERROR_INVALID_IMAGE;

  // The loader identifies a library by its path. The descriptor stays open with the library, so the path stays unique.
  const std::string path = "/proc/self/fd/" + std::to_string(file.get());
  void *library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) return CUDA_ERROR_INVALID_IMAGE;
  std::unique_ptr<KernelImage> loaded(new KernelImage(file.release(), library));
  loaded->module_ = static_cast<const KernelModule *>(dlsym(library, kModuleSymbol));
  if (loaded->module_ == nullptr || loaded->module_->version != kModuleVersion) return CUDA_ERROR_NO_BINARY_FOR_GPU;
  *out_image = std::move(loaded);
  return CUDA_SUCCESS;
}

KernelImage::~KernelImage() {
  dlclose(library_);
  close(file_);
}

const Kernel *KernelImage::find(std::string_view name) const {
  for (uint32_t i = 0; i < module_->kernel_count; ++i) {
    if (module_->kernels[i].name == name) return &module_->kernels[i];
  }
  return nullptr;
}

}  // namespace cuda_sim
