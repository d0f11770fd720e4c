/**
 * Generates tokens with libllama from an attached shard, and shows where libllama reads the weights.
 *
 *     in_place BACKENDS file PATH
 *     in_place BACKENDS path|tensors SOCKET DRIVER SHARD_ID
 *
 * `file` loads a file. `path` loads the path of the shard's memory, and libllama maps it. `tensors` points each tensor at
 * the lease's own mapping, which also works for a shard of several parts. BACKENDS is the folder of ggml's backends.
 *
 * Prints one line of JSON: the tokens, how many weights the computation read, and how many of them in the shard.
 */
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <memory>
#include <set>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "gguf.h"
#include "llama.h"
#include "vram_attach.h"

namespace {

constexpr char kPrompt[] = "Hello world, this is";
constexpr int kTokens = 24;
constexpr char kSharedMemory[] = "/memfd:cuda_sim:";

void require(bool condition, const std::string &what) {
  if (!condition) throw std::runtime_error(what);
}

/** An attached shard, until the object ends. */
class Attachment {
 public:
  Attachment(const char *socket, const char *driver, const char *shard_id) {
    vram_attach_options options = {};
    options.socket_path = socket;
    options.driver_path = driver;
    vram_attach_request request = {};
    request.shard_id = shard_id;
    vram_attach_error error = {};
    require(vram_attach_connect(&options, &client_, &error) == VRAM_ATTACH_OK, error.detail);
    require(vram_attach_shard(client_, &request, &lease_, &error) == VRAM_ATTACH_OK, error.detail);
  }
  ~Attachment() { vram_attach_close(client_); }
  Attachment(const Attachment &) = delete;
  Attachment &operator=(const Attachment &) = delete;

  vram_attach_lease_info info() const {
    vram_attach_lease_info info = {};
    require(vram_attach_get_lease(lease_, &info) == VRAM_ATTACH_OK, "get_lease");
    return info;
  }

  std::string path() const {
    const char *path = nullptr;
    vram_attach_error error = {};
    require(vram_attach_get_path(lease_, &path, &error) == VRAM_ATTACH_OK, error.detail);
    return path;
  }

 private:
  vram_attach_client *client_ = nullptr;
  vram_attach_lease *lease_ = nullptr;
};

/** The metadata of a GGUF file in memory, and where its tensors are. */
struct InMemory {
  uintptr_t base;
  gguf_context *metadata;

  static void set_data(ggml_tensor *tensor, void *self) {
    const auto &model = *static_cast<InMemory *>(self);
    const int64_t id = gguf_find_tensor(model.metadata, tensor->name);
    // ggml computes RoPE factors and the like. They are not in the file.
    if (id < 0) return;
    const size_t offset = gguf_get_data_offset(model.metadata) + gguf_get_tensor_offset(model.metadata, id);
    tensor->data = reinterpret_cast<void *>(model.base + offset);
  }
};

/** Counts weights as libllama is about to read them. */
struct Weights {
  std::vector<std::pair<uintptr_t, uintptr_t>> shared;  // mappings of the simulator's memory
  std::set<std::string> all, in_place;

  void find_mappings() {
    shared.clear();
    std::ifstream maps("/proc/self/maps");
    for (std::string line; std::getline(maps, line);) {
      unsigned long start = 0, end = 0;
      if (line.find(kSharedMemory) == std::string::npos) continue;
      if (std::sscanf(line.c_str(), "%lx-%lx", &start, &end) != 2) continue;
      // The parts of a shard are adjacent, and a tensor can be in two.
      if (!shared.empty() && shared.back().second == start) {
        shared.back().second = end;
      } else {
        shared.emplace_back(start, end);
      }
    }
  }

  void count(const ggml_tensor *tensor) {
    const std::string name = tensor->name;
    if (name.size() < 7 || name.substr(name.size() - 7) != ".weight") return;
    all.insert(name);
    const auto start = reinterpret_cast<uintptr_t>(tensor->data);
    for (const auto &[from, to] : shared) {
      if (from <= start && start + ggml_nbytes(tensor) <= to) in_place.insert(name);
    }
  }

  /** A callback of the scheduler: asks whether the result of a node is needed. */
  static bool observe(ggml_tensor *node, bool, void *self) {
    for (const ggml_tensor *source : node->src) {
      if (source != nullptr) static_cast<Weights *>(self)->count(source);
    }
    return false;
  }
};

llama_model *load_tensors(InMemory &model, size_t bytes, llama_model_params params) {
  model.metadata = gguf_init_from_buffer(reinterpret_cast<const void *>(model.base), bytes, {true, nullptr});
  require(model.metadata != nullptr, "the shard is not a GGUF file");
  return llama_model_init_from_user(model.metadata, InMemory::set_data, &model, params);
}

std::string generate(llama_model *model, Weights &weights) {
  llama_context_params params = llama_context_default_params();
  params.n_ctx = 256;
  params.n_threads = params.n_threads_batch = 2;
  params.cb_eval = Weights::observe;
  params.cb_eval_user_data = &weights;
  llama_context *const context = llama_init_from_model(model, params);
  require(context != nullptr, "no context");
  const llama_vocab *const vocab = llama_model_get_vocab(model);
  std::vector<llama_token> tokens(64);
  const int count = llama_tokenize(vocab, kPrompt, sizeof(kPrompt) - 1, tokens.data(), 64, true, false);
  require(count > 0, "the prompt has no tokens");
  tokens.resize(static_cast<size_t>(count));
  llama_sampler *const sampler = llama_sampler_init_greedy();
  std::ostringstream text;
  for (int i = 0; i < kTokens; ++i) {
    const llama_batch batch = llama_batch_get_one(tokens.data(), static_cast<int32_t>(tokens.size()));
    require(llama_decode(context, batch) == 0, "decode");
    tokens = {llama_sampler_sample(sampler, context, -1)};
    text << (i > 0 ? "," : "") << tokens[0];
  }
  llama_sampler_free(sampler);
  llama_free(context);
  return text.str();
}

void run(const std::vector<std::string> &arguments) {
  const std::string &mode = arguments.at(2);
  ggml_backend_load_all_from_path(arguments[1].c_str());
  llama_model_params params = llama_model_default_params();
  params.load_mode = LLAMA_LOAD_MODE_MMAP;
  params.use_extra_bufts = false;  // repacked weights would be copies
  std::unique_ptr<Attachment> attachment;
  InMemory memory = {};
  std::string path = arguments.at(3);
  if (mode != "file") {
    attachment = std::make_unique<Attachment>(path.c_str(), arguments.at(4).c_str(), arguments.at(5).c_str());
  }
  if (mode == "path") path = attachment->path();
  if (mode == "tensors") memory.base = attachment->info().address;
  llama_model *const model = mode == "tensors" ? load_tensors(memory, attachment->info().vram_bytes, params)
                                               : llama_model_load_from_file(path.c_str(), params);
  require(model != nullptr, "the model cannot be loaded");
  Weights weights;
  weights.find_mappings();
  const std::string tokens = generate(model, weights);
  std::printf("{\"tokens\":[%s],\"weights\":%zu,\"in_place\":%zu}\n", tokens.c_str(), weights.all.size(),
              weights.in_place.size());
  llama_model_free(model);
  gguf_free(memory.metadata);
}

}  // namespace

int main(int argc, char **argv) {
  try {
    llama_log_set([](ggml_log_level level, const char *text, void *) {
      if (level >= GGML_LOG_LEVEL_ERROR) (void)std::fputs(text, stderr);
    }, nullptr);
    run({argv, argv + argc});
    return 0;
  } catch (const std::exception &error) {
    (void)std::fprintf(stderr, "in_place: %s\n", error.what());
    return 1;
  }
}
