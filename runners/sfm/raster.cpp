#include "runners/sfm/raster.hpp"

#include "runners/sfm/bitmap_font.hpp"
#include "runners/sfm/image_io.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string_view>

namespace pn::runners::sfm {
namespace {

Colour texel(const Image& image, double u, double v) {
  const int x = std::clamp(static_cast<int>(u), 0, image.width - 1);
  const int y = std::clamp(static_cast<int>(v), 0, image.height - 1);
  const std::size_t at = image.at(x, y);
  return {.r = static_cast<double>(image.pixels[at]),
          .g = static_cast<double>(image.pixels[at + 1]),
          .b = static_cast<double>(image.pixels[at + 2])};
}

/// The pixels that a span of the plane touches, within the canvas: what is far outside, or no
/// number, must not become an int.
int first_pixel(double low, int floor) {
  return low > floor ? static_cast<int>(std::min(low, 1e6)) : floor;
}
int end_pixel(double high, int ceiling) {
  return high < ceiling ? static_cast<int>(std::ceil(std::max(high, -1.0))) : ceiling;
}

}  // namespace

Canvas::Canvas(int width, int height)
    : image_(width, height),
      depths_(static_cast<std::size_t>(width) * static_cast<std::size_t>(height)) {
  unclip();
  forget_depth();
}

void Canvas::clip(Clip clip) {
  clip_ = {.left = std::max(clip.left, 0),
           .top = std::max(clip.top, 0),
           .right = std::min(clip.right, image_.width),
           .bottom = std::min(clip.bottom, image_.height)};
}

void Canvas::forget_depth() {
  std::fill(depths_.begin(), depths_.end(), std::numeric_limits<float>::infinity());
}

void Canvas::blend(int x, int y, Colour colour, double share) {
  const std::size_t at = image_.at(x, y);
  const auto one = [&](std::size_t channel, double value) {
    const double old = image_.pixels[at + channel];
    image_.pixels[at + channel] =
        static_cast<std::uint8_t>(std::clamp(old + (value - old) * share + 0.5, 0.0, 255.0));
  };
  one(0, colour.r);
  one(1, colour.g);
  one(2, colour.b);
}

void Canvas::plot(int x, int y, double depth, Colour colour, double share) {
  float& before = depths_[image_.at(x, y) / 3];
  if (!(depth <= static_cast<double>(before))) return;
  before = static_cast<float>(depth);
  blend(x, y, colour, share);
}

void Canvas::gradient(Colour top, Colour bottom) {
  for (int y = 0; y < image_.height; ++y) {
    const Colour row = mix(top, bottom, static_cast<double>(y) / image_.height);
    for (int x = 0; x < image_.width; ++x) blend(x, y, row, 1);
  }
}

void Canvas::picture(const Image& from, Clip where, double share) {
  const double sx = static_cast<double>(from.width) / (where.right - where.left);
  const double sy = static_cast<double>(from.height) / (where.bottom - where.top);
  for (int y = std::max(where.top, clip_.top); y < std::min(where.bottom, clip_.bottom); ++y) {
    for (int x = std::max(where.left, clip_.left); x < std::min(where.right, clip_.right); ++x) {
      const Colour colour = texel(from, (x - where.left + 0.5) * sx, (y - where.top + 0.5) * sy);
      blend(x, y, colour, share);
    }
  }
}

void Canvas::disc(Vertex centre, double radius, Colour colour) {
  const int right = end_pixel(centre.x + radius + 1, clip_.right);
  const int bottom = end_pixel(centre.y + radius + 1, clip_.bottom);
  for (int y = first_pixel(centre.y - radius, clip_.top); y < bottom; ++y) {
    for (int x = first_pixel(centre.x - radius, clip_.left); x < right; ++x) {
      const double dx = x + 0.5 - centre.x;
      const double dy = y + 0.5 - centre.y;
      const double from_centre = (dx * dx + dy * dy) / (radius * radius);
      if (from_centre > 1) continue;
      // A darker rim keeps neighbours apart.
      plot(x,
           y,
           centre.depth,
           from_centre > 0.6 ? mix(colour, {.r = 0, .g = 0, .b = 0}, 0.35) : colour,
           1);
    }
  }
}

void Canvas::line(Vertex from, Vertex to, double width, Colour colour, double share) {
  const double dx = to.x - from.x;
  const double dy = to.y - from.y;
  const double squared = std::max(dx * dx + dy * dy, 1e-9);
  const double half = width / 2;
  const int right = end_pixel(std::max(from.x, to.x) + half + 1, clip_.right);
  const int bottom = end_pixel(std::max(from.y, to.y) + half + 1, clip_.bottom);
  for (int y = first_pixel(std::min(from.y, to.y) - half, clip_.top); y < bottom; ++y) {
    for (int x = first_pixel(std::min(from.x, to.x) - half, clip_.left); x < right; ++x) {
      const double px = x + 0.5 - from.x;
      const double py = y + 0.5 - from.y;
      const double along = std::clamp((px * dx + py * dy) / squared, 0.0, 1.0);
      const double ox = px - along * dx;
      const double oy = py - along * dy;
      if (ox * ox + oy * oy > half * half) continue;
      plot(x, y, from.depth + along * (to.depth - from.depth), colour, share);
    }
  }
}

void Canvas::triangle(const std::array<Vertex, 3>& corners,
                      const Image& texture,
                      double share,
                      Colour behind) {
  const auto& [a, b, c] = corners;
  const double area = (b.x - a.x) * (c.y - a.y) - (c.x - a.x) * (b.y - a.y);
  if (std::abs(area) < 1e-9) return;
  const int right = end_pixel(std::max({a.x, b.x, c.x}) + 1, clip_.right);
  const int bottom = end_pixel(std::max({a.y, b.y, c.y}) + 1, clip_.bottom);
  for (int y = first_pixel(std::min({a.y, b.y, c.y}), clip_.top); y < bottom; ++y) {
    for (int x = first_pixel(std::min({a.x, b.x, c.x}), clip_.left); x < right; ++x) {
      const double px = x + 0.5;
      const double py = y + 0.5;
      const double wb = ((px - a.x) * (c.y - a.y) - (c.x - a.x) * (py - a.y)) / area;
      const double wc = ((b.x - a.x) * (py - a.y) - (px - a.x) * (b.y - a.y)) / area;
      const double wa = 1 - wb - wc;
      if (wa < 0 || wb < 0 || wc < 0) continue;
      const Colour colour =
          texel(texture, wa * a.u + wb * b.u + wc * c.u, wa * a.v + wb * b.v + wc * c.v);
      plot(x, y, wa * a.depth + wb * b.depth + wc * c.depth, mix(behind, colour, share), 1);
    }
  }
}

void Canvas::text(int x, int y, int scale, std::string_view text, Colour colour) {
  for (const char c : text) {
    const Glyph* glyph = find_glyph(c);
    if (glyph == nullptr) continue;
    for (int row = 0; row < 7; ++row) {
      for (int column = 0; column < 5; ++column) {
        if ((glyph->rows[static_cast<std::size_t>(row)] >> (4 - column) & 1) == 0) continue;
        const int left = x + column * scale;
        const int top = y + row * scale;
        for (int py = std::max(top, clip_.top); py < std::min(top + scale, clip_.bottom); ++py) {
          for (int px = std::max(left, clip_.left); px < std::min(left + scale, clip_.right);
               ++px) {
            blend(px, py, colour, 1);
          }
        }
      }
    }
    x += 6 * scale;
  }
}

int Canvas::text_width(int scale, std::string_view text) {
  const auto letters =
      std::count_if(text.begin(), text.end(), [](char c) { return find_glyph(c) != nullptr; });
  return static_cast<int>(letters) * 6 * scale;
}

Image Canvas::halved() const {
  Image out(image_.width / 2, image_.height / 2);
  for (int y = 0; y < out.height; ++y) {
    const std::uint8_t* upper = image_.pixels.data() + image_.at(0, 2 * y);
    const std::uint8_t* lower = image_.pixels.data() + image_.at(0, 2 * y + 1);
    std::uint8_t* to = out.pixels.data() + out.at(0, y);
    for (int x = 0; x < out.width; ++x, upper += 6, lower += 6, to += 3) {
      for (int c = 0; c < 3; ++c) {
        to[c] =
            static_cast<std::uint8_t>((upper[c] + upper[c + 3] + lower[c] + lower[c + 3] + 2) / 4);
      }
    }
  }
  return out;
}

}  // namespace pn::runners::sfm
