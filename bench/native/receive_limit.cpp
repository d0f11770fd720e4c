/**
 * Measures what any server must do for `curl -T FILE` on this machine: a program that receives the body into one buffer and
 * does nothing with it. Prints the rate of the whole curl process in GB/s (10^9 bytes), and the CPU time that sender and
 * receiver use, in seconds per 10^9 bytes.
 *
 * Usage: receive_limit FILE
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

namespace {

constexpr size_t kBufferBytes = 1024 * 1024;

[[noreturn]] void fail(const char *what) {
  std::perror(what);
  std::exit(1);
}

/** Listens on a free port of the loopback interface. */
int listen_locally(uint16_t *out_port) {
  const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof(address);
  auto *const any = reinterpret_cast<sockaddr *>(&address);
  if (bind(listener, any, length) != 0 || listen(listener, 1) != 0 || getsockname(listener, any, &length) != 0) {
    fail("receive_limit: listen");
  }
  *out_port = ntohs(address.sin_port);
  return listener;
}

pid_t start_curl(const char *file, uint16_t port) {
  const std::string url = "http://127.0.0.1:" + std::to_string(port) + "/";
  const pid_t child = fork();
  if (child != 0) return child;
  execlp("curl", "curl", "-sS", "--noproxy", "*", "-T", file, url.c_str(), nullptr);
  _exit(127);
}

void send_text(int connection, const std::string &text) {
  if (send(connection, text.data(), text.size(), MSG_NOSIGNAL) < 0) fail("receive_limit: send");
}

/** Receives one request, discards its body, and answers. Returns the bytes of the body. */
uint64_t receive_body(int connection) {
  std::vector<char> buffer(kBufferBytes);
  std::string head;
  size_t end = std::string::npos;
  while ((end = head.find("\r\n\r\n")) == std::string::npos) {
    const ssize_t got = recv(connection, buffer.data(), buffer.size(), 0);
    if (got <= 0) fail("receive_limit: head");
    head.append(buffer.data(), static_cast<size_t>(got));
  }
  const size_t field = head.find("Content-Length: ");
  if (field == std::string::npos) fail("receive_limit: Content-Length");
  const uint64_t bytes = std::strtoull(head.c_str() + field + 16, nullptr, 10);
  if (head.find("100-continue") != std::string::npos) send_text(connection, "HTTP/1.1 100 Continue\r\n\r\n");
  for (uint64_t done = head.size() - end - 4; done < bytes;) {
    const ssize_t got = recv(connection, buffer.data(), buffer.size(), 0);
    if (got <= 0) fail("receive_limit: body");
    done += static_cast<uint64_t>(got);
  }
  send_text(connection, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
  return bytes;
}

double seconds_of(const rusage &usage) {
  const auto seconds = [](const timeval &time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

}  // namespace

int main(int count, char **arguments) {
  if (count != 2) return 64;
  uint16_t port = 0;
  const int listener = listen_locally(&port);
  const auto start = std::chrono::steady_clock::now();
  const pid_t curl = start_curl(arguments[1], port);
  const int connection = accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
  if (connection < 0) fail("receive_limit: accept");
  const uint64_t bytes = receive_body(connection);
  close(connection);
  int status = 0;
  rusage sender = {}, receiver = {};
  if (wait4(curl, &status, 0, &sender) != curl || status != 0) fail("receive_limit: curl");
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  getrusage(RUSAGE_SELF, &receiver);
  const double gigabytes = static_cast<double>(bytes) / 1e9;
  std::printf("{\"receive_gb_per_s\": %.4f, \"cpu_s_per_gb\": %.4f}\n", gigabytes / seconds,
              (seconds_of(sender) + seconds_of(receiver)) / gigabytes);
  return 0;
}
