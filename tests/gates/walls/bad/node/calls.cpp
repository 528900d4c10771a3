void f() {
  /* a comment that ends */ boost::asio::co_spawn(executor, g(), token);
  spawn(executor, g(), asio::detached);
  auto home = std::getenv("HOME");
  auto all = environ;
  auto now = std::chrono::system_clock::now();
  auto then = std::chrono::steady_clock::now();
  std::random_device device;
  auto digit = 0'0; auto later = std::chrono::steady_clock::now();
}
