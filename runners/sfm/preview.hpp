#pragma once

#include "runners/sfm/colmap_model.hpp"
#include "runners/sfm/image_io.hpp"

#include <filesystem>
#include <string_view>

namespace pn::runners::sfm {

/// The view that shows the most of the cloud: whose photo the preview stands on. Null when there is
/// none.
const View* choose_view(const Model& model);

/// The picture people look at before they read: left a faded photo with the points that it sees,
/// right the cloud with its cameras from above and aside, the photo draped over it. Below,
/// `caption`. `photo` belongs to `view`. Where the cloud has no colour of its own (grey photos) the
/// points are coloured by their depth, alike on both sides. 1280 by 720.
Image draw_preview(const Model& model,
                   const View& view,
                   const Image& photo,
                   std::string_view caption);

}  // namespace pn::runners::sfm
