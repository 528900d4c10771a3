#include "base/semver.hpp"

#include <catch2/catch.hpp>

namespace pn {

TEST_CASE("semver: section 9 to 11", "[base][semver]") {
  for (const char* good :
       {"0.0.0", "1.2.3", "1.2.3-rc.1", "1.2.3+b.7", "10.20.30-a-b+c", "1.0.0-0a.0+001"}) {
    INFO(good);
    CHECK(is_semver(good));
  }
  for (const char* bad : {"",
                          "1",
                          "1.2",
                          "v1.2.3",
                          "1.2.3.4",
                          "01.2.3",
                          "1.2.3-",
                          "1.2.3+",
                          "1.2.3-a..b",
                          "1.2.x",
                          "1.2.3-01"}) {
    INFO(bad);
    CHECK_FALSE(is_semver(bad));
  }
}

}  // namespace pn
