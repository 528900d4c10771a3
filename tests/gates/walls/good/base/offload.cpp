auto x = asio::co_spawn(executor, g(), asio::detached);
