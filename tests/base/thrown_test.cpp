#include "base/thrown.hpp"

#include <exception>
#include <stdexcept>

#include <boost/asio/error.hpp>
#include <boost/system/system_error.hpp>
#include <catch2/catch.hpp>

namespace pn {
namespace {

std::exception_ptr of(const boost::system::error_code& code) {
  return std::make_exception_ptr(boost::system::system_error(code));
}

TEST_CASE("thrown: a cancellation is told from a fault", "[base]") {
  CHECK(is_aborted(of(boost::asio::error::operation_aborted)));
  CHECK_FALSE(is_aborted(of(boost::asio::error::connection_reset)));
  CHECK_FALSE(is_aborted(std::make_exception_ptr(std::runtime_error("x"))));
  CHECK_FALSE(is_aborted(nullptr));
}

TEST_CASE("thrown: what an exception says", "[base]") {
  CHECK(what_of(std::make_exception_ptr(std::runtime_error("no disk"))) == "no disk");
  CHECK(what_of(std::make_exception_ptr(7)) == "an exception of unknown type");
  CHECK(what_of(nullptr) == "nothing");
}

}  // namespace
}  // namespace pn
