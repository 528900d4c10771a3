auto x = std::chrono::system_clock::now();
