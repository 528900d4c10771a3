// What scripts/check-flat-awaits must find, and what it must let pass: the lines marked "bad:" are the expected findings.
#include <coroutine>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

struct Options {
  std::string name{};
  int tries = 0;
};

class Named {
 public:
  Named(std::string name, int tries) : name_(std::move(name)), tries_(tries) {}

 private:
  std::string name_;
  int tries_;
};

template <class T>
struct Task {
  struct promise_type {
    Task get_return_object() { return Task(); }
    std::suspend_never initial_suspend() noexcept { return {}; }
    std::suspend_never final_suspend() noexcept { return {}; }
    void return_value(T) {}
    void unhandled_exception() {}
  };
  bool await_ready() const { return true; }
  void await_suspend(std::coroutine_handle<>) const {}
  T await_resume() const { return T(); }
};

Task<int> with(Options);
Task<int> with_names(std::vector<std::string>);
Task<int> with_class(Named);
Task<int> number();
Task<int> limited(std::uint64_t limit = std::uint64_t{2} * 1024);
Task<Options> options();
template <class F>
Task<int> apply(F) {
  return number();
}
int plain(int);

Task<int> bad(bool flag, std::string owned) {
  int sum = 0;
  sum += co_await with({"a", 1});                                   // bad: braces inside
  sum += co_await with(Options{"a", 1});                            // bad: braces inside
  sum += co_await with_names({"a", "b"});                           // bad: braces inside
  sum += co_await apply([owned] { return owned.size(); });          // bad: a lambda inside
  sum += co_await apply([&] { return owned.size(); });              // bad: a lambda inside
  sum += flag ? co_await number() : co_await with_class(Named("b", 2));  // bad: ?: around
  const Options made{"a", co_await number()};                       // bad: inside braces
  const Options more = {.name = "a", .tries = co_await number()};   // bad: inside braces
  co_return sum + made.tries + more.tries;
}

template <class T>
Task<int> bad_template(T value) {
  const int sum = co_await with({value, 1});  // bad: braces inside
  co_return sum;
}

Task<int> good(bool flag, std::string owned) {
  int sum = 0;
  Options named{"a", 1};
  sum += co_await with(std::move(named));
  const std::vector<std::string> names = {"a", "b"};
  sum += co_await with_names(names);
  sum += co_await with_class(Named(owned, 1));
  sum += plain(co_await number());
  auto closure = [owned] { return owned.size(); };
  sum += co_await apply(std::move(closure));
  if (flag) sum += co_await number();
  sum += co_await limited();
  sum += co_await limited(std::uint64_t{3});
  const Options got = co_await options();
  const int chosen = flag ? sum : got.tries;
  co_return chosen;
}

Task<int> instance() {
  const int sum = co_await bad_template(std::string("a"));
  co_return sum;
}
