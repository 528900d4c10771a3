auto x = std::chrono::steady_clock::now();
