#pragma once

#include "runners/sfm/image_io.hpp"

#include <array>
#include <string_view>
#include <vector>

namespace pn::runners::sfm {

struct Colour {
  double r = 0;  ///< 0 to 255
  double g = 0;
  double b = 0;
};

inline Colour mix(Colour a, Colour b, double share_of_b) {
  return {.r = a.r + (b.r - a.r) * share_of_b,
          .g = a.g + (b.g - a.g) * share_of_b,
          .b = a.b + (b.b - a.b) * share_of_b};
}

/// A place on the canvas; `depth` decides who hides whom, the nearest wins.
struct Vertex {
  double x = 0;
  double y = 0;
  double depth = 0;
  double u = 0;  ///< in the texture's pixels
  double v = 0;
};

/// Rectangle of pixels that drawing keeps within.
struct Clip {
  int left = 0;
  int top = 0;
  int right = 0;   ///< one past
  int bottom = 0;  ///< one past
};

/// A picture being drawn, with a depth for each pixel. Edges are hard: draw larger and halve().
class Canvas final {
 public:
  Canvas(int width, int height);

  void clip(Clip clip);
  void unclip() { clip({.left = 0, .top = 0, .right = image_.width, .bottom = image_.height}); }
  /// Everything drawn from now on hides, and is hidden by, only what comes after.
  void forget_depth();

  void gradient(Colour top, Colour bottom);
  /// `share` of the picture over what is there, stretched into the rectangle.
  void picture(const Image& from, Clip where, double share);
  void disc(Vertex centre, double radius, Colour colour);
  void line(Vertex from, Vertex to, double width, Colour colour, double share);
  /// `share` of the texture over `behind`.
  void triangle(const std::array<Vertex, 3>& corners,
                const Image& texture,
                double share,
                Colour behind);
  /// Five by seven dots a letter, each `scale` pixels wide; letters, digits and ".,:-_/%()+·".
  void text(int x, int y, int scale, std::string_view text, Colour colour);
  static int text_width(int scale, std::string_view text);

  /// Half the size, each pixel the mean of four.
  [[nodiscard]] Image halved() const;

 private:
  void blend(int x, int y, Colour colour, double share);
  void plot(int x, int y, double depth, Colour colour, double share);

  Image image_;
  std::vector<float> depths_;
  Clip clip_;
};

}  // namespace pn::runners::sfm
