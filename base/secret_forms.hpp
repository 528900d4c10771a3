#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace pn {

// What a Redactor's second net is made of: the forms in which a secret is looked for, and whether
// one of them stands at some place of a text, whatever was done to it there. All pure.

/// One form of a secret.
struct SecretForm {
  std::string text;      ///< of at least kFormKey bytes
  bool base64 = false;   ///< the two alphabets are one: '+' and '/' stand for both
  bool goes_on = false;  ///< the secret is longer: what follows of the token belongs to it
};

/// Bytes by which forms are found.
inline constexpr std::size_t kFormKey = 4;
/// No place. An optional would say it better, but g++ 12 takes its return for uninitialized.
inline constexpr std::size_t kNoForm = std::string_view::npos;

/// As it is, in the other case where it is hex, escaped to ASCII, in base64 amid any neighbours. Of
/// a long secret its first 128 bytes. Forms too short to be told from a word are left out.
std::vector<SecretForm> secret_forms(std::string_view secret);

/// Of the kFormKey bytes from `bytes` on.
std::uint32_t form_key(const char* bytes);

// The keys besides its own that the text at `at`, where there are kFormKey bytes, may stand for.
/// As the plain alphabet of base64 has it; nothing where it is that already.
std::optional<std::uint32_t> plain_form_key(std::string_view text, std::size_t at);
/// Decoded, where it is percent-encoded or escaped.
std::vector<std::uint32_t> decoded_form_keys(std::string_view text, std::size_t at);

/// Where `form`, which begins at `at`, ends with all that belongs to it; kNoForm where it does not
/// stand there. The end of the text may cut it off.
std::size_t form_end(const SecretForm& form, std::string_view text, std::size_t at);

}  // namespace pn
