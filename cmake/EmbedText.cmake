# Writes a .cpp that answers the text of a file, so that an installed program needs no file beside it:
#   cmake -DTEXT=web/node.html -DOUT=node_html.cpp -DHEADER=node/status_page.hpp -DSPACE=pn::node -DNAME=status_page -P EmbedText.cmake
file(READ "${TEXT}" text)
string(FIND "${text}" ")pntext\"" clash)
if(NOT clash EQUAL -1)
  message(FATAL_ERROR "${TEXT} holds the end of a raw string literal")
endif()
file(WRITE "${OUT}" "// Made of ${TEXT} by the build.
#include \"${HEADER}\"

#include <string_view>

namespace ${SPACE} {

std::string_view ${NAME}() { return R\"pntext(${text})pntext\"; }

}  // namespace ${SPACE}
")
