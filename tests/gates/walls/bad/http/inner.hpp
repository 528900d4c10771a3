#pragma once
#include <boost/asio/steady_timer.hpp>
#include <boost/beast/http.hpp>
