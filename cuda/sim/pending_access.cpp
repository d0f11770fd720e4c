#include "pending_access.h"

#include <algorithm>
#include <utility>

namespace cuda_sim {
namespace {

bool conflict(const Access &a, const Access &b) {
  return (a.writes || b.writes) && a.address < b.address + b.bytes && b.address < a.address + a.bytes;
}

bool conflict(const std::vector<Access> &some, const std::vector<Access> &others) {
  return std::any_of(some.begin(), some.end(), [&](const Access &a) {
    return std::any_of(others.begin(), others.end(), [&](const Access &b) { return conflict(a, b); });
  });
}

}  // namespace

PendingAccesses::Ticket PendingAccesses::add(const Stream &stream, std::vector<Access> accesses) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const bool is_unordered = std::any_of(pending_.begin(), pending_.end(), [&](const Operation &other) {
    return other.stream != &stream && conflict(accesses, other.accesses);
  });
  if (is_unordered) return nullptr;
  const auto added = pending_.insert(pending_.end(), {&stream, std::move(accesses)});
  return {&*added, [this, added](const void *) {
            const std::lock_guard<std::mutex> lock_again(mutex_);
            pending_.erase(added);
          }};
}

}  // namespace cuda_sim
