#include "faults.h"

#include <climits>

#include "parse.h"

namespace cuda_sim {
namespace {

constexpr std::string_view kEveryFunction = "*";
constexpr std::string_view kHang = "hang";

bool is_function(std::string_view name) {
#define NAME(function, parameters) #function,
  constexpr std::string_view kFunctions[] = {VRAM_CUDA_FUNCTIONS(NAME)};
#undef NAME
  for (const std::string_view function : kFunctions) {
    if (function == name) return true;
  }
  return name == kEveryFunction;
}

}  // namespace

std::optional<Faults::Rule> Faults::parse_rule(std::string_view text) {
  const size_t colon = text.find(':');
  const size_t equals = text.find('=');
  if (colon == std::string_view::npos || equals == std::string_view::npos || equals < colon) return std::nullopt;

  const std::string_view function = text.substr(0, colon);
  std::string_view nth = text.substr(colon + 1, equals - colon - 1);
  const bool is_persistent = !nth.empty() && nth.back() == '+';
  if (is_persistent) nth.remove_suffix(1);
  const std::optional<uint64_t> number = parse_number(nth);
  if (!is_function(function) || !number || *number == 0) return std::nullopt;

  Rule rule = {std::string(function), *number, is_persistent, std::nullopt, 0};
  const std::string_view fault = text.substr(equals + 1);
  if (fault == kHang) return rule;
  const std::optional<uint64_t> error = parse_number(fault);
  if (!error || *error == 0 || *error > INT_MAX) return std::nullopt;
  rule.error = static_cast<CUresult>(*error);
  return rule;
}

bool Faults::set(std::string_view text) {
  std::vector<Rule> rules;
  for (const std::string_view entry : split(text, ',')) {
    std::optional<Rule> rule = parse_rule(entry);
    if (!rule) return false;
    rules.push_back(std::move(*rule));
  }
  const std::lock_guard<std::mutex> lock(mutex_);
  replace(std::move(rules));
  return true;
}

bool Faults::delay_until(std::string_view text) {
  const size_t colon = text.find(':');
  if (colon == std::string_view::npos) return false;
  const std::string_view function = text.substr(0, colon);
  const std::optional<uint64_t> number = parse_number(text.substr(colon + 1));
  if (!is_function(function) || !number || *number == 0) return false;
  const std::lock_guard<std::mutex> lock(mutex_);
  start_ = {std::string(function), *number};
  return true;
}

void Faults::reset() {
  const std::lock_guard<std::mutex> lock(mutex_);
  replace({});
  calls_.clear();
}

void Faults::replace(std::vector<Rule> rules) {
  rules_ = std::move(rules);
  start_.reset();
  ++generation_;
  replaced_.notify_all();
}

CUresult Faults::on_call(const char *function) {
  std::unique_lock<std::mutex> lock(mutex_);
  ++calls_[function];
  if (start_.has_value()) {
    if (start_->function != function && start_->function != kEveryFunction) return CUDA_SUCCESS;
    if (--start_->calls == 0) start_.reset();
    return CUDA_SUCCESS;
  }
  const Rule *matched = nullptr;
  for (Rule &rule : rules_) {
    if (rule.function != function && rule.function != kEveryFunction) continue;
    ++rule.seen;
    const bool due = rule.is_persistent ? rule.seen >= rule.nth : rule.seen == rule.nth;
    if (due && matched == nullptr) matched = &rule;
  }
  if (matched == nullptr) return CUDA_SUCCESS;
  if (matched->error.has_value()) return *matched->error;
  replaced_.wait(lock, [&, before = generation_] { return generation_ != before; });
  return CUDA_ERROR_UNKNOWN;
}

uint64_t Faults::calls(std::string_view function) const {
  const std::lock_guard<std::mutex> lock(mutex_);
  uint64_t count = 0;
  for (const auto &[name, calls] : calls_) {
    if (function == kEveryFunction || function == name) count += calls;
  }
  return count;
}

}  // namespace cuda_sim
