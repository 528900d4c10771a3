#pragma once

#include "base/digest.hpp"
#include "base/encoding.hpp"
#include "base/nursery.hpp"
#include "base/system_clock.hpp"
#include "http/body.hpp"
#include "http/multipart.hpp"
#include "http/server.hpp"
#include "tests/support/test_loop.hpp"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

namespace pn::testing {

/// A body that counts what went out, and breaks off when told.
class MeteredSource final : public http::BodySource {
 public:
  MeteredSource(std::string bytes,
                bool tells_size,
                std::optional<std::uint64_t> end,
                std::uint64_t& sent)
      : bytes_(std::move(bytes)),
        tells_size_(tells_size),
        end_(end.value_or(bytes_.size())),
        sent_(sent) {}
  [[nodiscard]] std::optional<std::uint64_t> size() const override {
    return tells_size_ ? std::optional<std::uint64_t>(bytes_.size()) : std::nullopt;
  }
  bool rewind() override { return false; }
  Awaitable<Result<std::size_t>> read(std::span<char> buffer) override {
    const std::size_t end = std::min<std::size_t>(end_, bytes_.size());
    if (at_ == end && end < bytes_.size()) {
      co_return Error(ErrorKind::internal, "cut", "the test cuts it here");
    }
    const std::size_t count = std::min(buffer.size(), end - at_);
    std::memcpy(buffer.data(), bytes_.data() + at_, count);
    at_ += count;
    sent_ += count;
    co_return count;
  }

 private:
  const std::string bytes_;
  const bool tells_size_;
  const std::uint64_t end_;
  std::uint64_t& sent_;
  std::size_t at_ = 0;
};

/// A domain server in memory on a real socket, that keeps what it was asked and fails when told.
class FakeDomainServer {
 public:
  struct Item {
    std::string name;
    std::string data_type;
    std::string bytes;
    int version = 1;
  };
  struct Upload {
    nlohmann::json order;
    std::map<int, std::string> parts;
  };

  explicit FakeDomainServer(TestLoop& loop) : nursery_(loop.executor()) {
    http::Router router;
    const auto add = [&](http::Method method, const char* pattern, auto member) {
      router.add(method, pattern, [this, member](http::ServerRequest& request) {
        return handle(request, member);
      });
    };
    using M = http::Method;
    add(M::get, "/api/v1/info", &FakeDomainServer::info);
    add(M::get, "/api/v1/domains/{d}/data", &FakeDomainServer::list);
    add(M::post, "/api/v1/domains/{d}/data", &FakeDomainServer::write);
    add(M::put, "/api/v1/domains/{d}/data", &FakeDomainServer::write);
    add(M::get, "/api/v1/domains/{d}/data/{id}", &FakeDomainServer::read);
    add(M::del, "/api/v1/domains/{d}/data/{id}", &FakeDomainServer::remove);
    add(M::post, "/api/v1/domains/{d}/data/multipart", &FakeDomainServer::multipart);
    add(M::put, "/api/v1/domains/{d}/data/multipart", &FakeDomainServer::multipart);
    add(M::del, "/api/v1/domains/{d}/data/multipart", &FakeDomainServer::multipart);
    server_ = *http::Server::listen(loop.executor(), clock_, {}, {}, std::move(router));
    nursery_.spawn("server", server_->run());
    loop_ = &loop;
  }
  ~FakeDomainServer() {
    nursery_.cancel();
    loop_->run(nursery_.join());
  }

  [[nodiscard]] http::Url url() const {
    return *http::Url::parse("http://127.0.0.1:" + std::to_string(server_->port()));
  }

  /// Asked before each request is served; an answer replaces it.
  std::function<std::optional<http::ServerResponse>(const http::ServerRequest&)> fault;
  /// Called after a request was served and before it is answered.
  std::function<void(const http::ServerRequest&)> served;
  /// What is sent of items, before it is: may be made wrong.
  std::function<void(const http::ServerRequest&, http::ServerResponse& head, std::string& body)>
      harm;
  /// After how many bytes of an answer with items its connection breaks.
  std::function<std::optional<std::uint64_t>(const http::ServerRequest&)> cut;
  std::uint64_t payload = 0;  ///< bytes of answers with items that went out
  // What it offers beyond the protocol's least.
  bool has_digests = false;
  bool has_ranges = false;
  bool has_etags = false;
  bool tells_length = true;  ///< of answers with items
  bool counts_parts = false;
  std::vector<Item> related;  ///< parts after all others, which no list names
  /// Asked then too: an answer replaces the one that is lost.
  std::function<std::optional<http::ServerResponse>(const http::ServerRequest&)> lost;
  std::map<std::string, Item> items;  ///< by id
  std::map<std::string, Upload> uploads;
  std::vector<std::string> seen;  ///< "GET /api/v1/info", without the domain's prefix
  std::string token = "t1";
  bool has_info = true;
  bool has_multipart = true;
  std::uint64_t request_max = 1 << 20;
  std::uint64_t part_size = 1000;
  bool tells_digest = false;
  bool hashes_only = false;  ///< of a part only its SHA-256 is kept, in hex
  int parts_together = 1;    ///< a part is answered when so many are there at a time
  int parts_at_once = 0;     ///< now
  int most_parts_at_once = 0;
  std::uint64_t part_bytes = 0;  ///< that were received, with those that came twice
  int downloads_together = 1;    ///< items in parts are sent when so many ask at a time
  int downloads_at_once = 0;     ///< now
  int most_downloads_at_once = 0;

  [[nodiscard]] int count(const std::string& what) const {
    return static_cast<int>(std::count(seen.begin(), seen.end(), what));
  }
  std::string add(std::string name, std::string type, std::string bytes) {
    const std::string id = make_id();
    items[id] = Item{std::move(name), std::move(type), std::move(bytes), 1};
    return id;
  }

 private:
  using Served = Awaitable<http::ServerResponse> (FakeDomainServer::*)(http::ServerRequest&);

  Awaitable<http::ServerResponse> handle(http::ServerRequest& request, Served member) {
    std::string path = request.path;
    if (path.starts_with("/api/v1/domains/d1")) path.erase(0, 18);
    seen.push_back(std::string(name(request.method)) + " " + path);
    if (fault) {
      std::optional<http::ServerResponse> failed = fault(request);
      if (failed) co_return std::move(*failed);
    }
    if (request.bearer() != token) co_return http::error_response(401, "unauthorized", "token");
    http::ServerResponse answer = co_await (this->*member)(request);
    if (served) served(request);
    if (lost) {
      std::optional<http::ServerResponse> other = lost(request);
      if (other) co_return std::move(*other);
    }
    co_return answer;
  }

  std::string make_id() {
    const std::string n = std::to_string(++last_);
    return "00000000-0000-4000-8000-" + std::string(12 - n.size(), '0') + n;
  }
  [[nodiscard]] nlohmann::json metadata(const std::string& id) const {
    const Item& item = items.at(id);
    nlohmann::json out = {
        {"id", id},
        {"domain_id", "d1"},
        {"name", item.name},
        {"data_type", item.data_type},
        {"size", item.bytes.size()},
        {"created_at", "2026-11-20T10:00:00Z"},
        {"updated_at", "2026-11-20T10:00:0" + std::to_string(item.version) + "Z"}};
    if (tells_digest) {
      const Sha256Digest digest = sha256(item.bytes);
      out["digest"] = "sha-256=:" + to_base64(std::string(digest.begin(), digest.end())) + ":";
    }
    return out;
  }
  [[nodiscard]] std::string id_of(const std::string& name, const std::string& type) const {
    for (const auto& [id, item] : items) {
      if (item.name == name && item.data_type == type) return id;
    }
    return {};
  }

  Awaitable<http::ServerResponse> info(http::ServerRequest&) {
    if (!has_info) co_return http::error_response(404, "not_found", "old");
    const nlohmann::json body = {
        {"upload",
         {{"request_max_bytes", request_max}, {"multipart", {{"enabled", has_multipart}}}}}};
    co_return http::ServerResponse::json(200, body.dump());
  }

  Awaitable<http::ServerResponse> list(http::ServerRequest& request) {
    std::vector<std::string> found;
    const std::string ids = request.query_value("ids").value_or("");
    for (const auto& [id, item] : items) {
      const bool by_id = ids.empty() || ids.find(id) != std::string::npos;
      const bool by_name = request.query_value("name").value_or(item.name) == item.name;
      const bool by_type =
          request.query_value("data_type").value_or(item.data_type) == item.data_type;
      if (by_id && by_name && by_type) found.push_back(id);
    }
    if (request.headers.find("accept") == "multipart/form-data") {
      co_await together(downloads_together, downloads_at_once, most_downloads_at_once);
      std::string body;
      for (const std::string& id : found) {
        const Item& item = items.at(id);
        body += part(item, id);
      }
      for (const Item& item : related) body += part(item, "");
      body += http::closing_delimiter("B");
      http::ServerResponse head =
          http::ServerResponse::text(200, "", "multipart/form-data; boundary=B");
      if (counts_parts) {
        head.headers.set("posemesh-part-count", std::to_string(found.size() + related.size()));
      }
      co_return with_items(request, std::move(head), std::move(body));
    }
    nlohmann::json data = nlohmann::json::array();
    for (const std::string& id : found) data.push_back(metadata(id));
    co_return http::ServerResponse::json(200, nlohmann::json{{"data", data}}.dump());
  }

  Awaitable<http::ServerResponse> read(http::ServerRequest& request) {
    const std::string id = request.params.at("id");
    if (!items.contains(id)) co_return http::error_response(404, "not_found", "no such data");
    if (!request.has_query("raw")) {
      co_return http::ServerResponse::json(200, metadata(id).dump());
    }
    std::string body = items.at(id).bytes;
    http::ServerResponse head = http::ServerResponse::text(200, "", "application/octet-stream");
    const std::string etag = "\"" + sha256_hex(body) + "\"";
    if (has_etags) head.headers.set("ETag", etag);
    if (has_digests) head.headers.set("Repr-Digest", digest_of(body));
    const std::string range(request.headers.find("range").value_or(""));
    const bool same = request.headers.find("if-range").value_or(etag) == etag;
    if (has_ranges && range.starts_with("bytes=") && same) {
      const std::size_t from = std::stoul(range.substr(6));
      if (from >= body.size()) co_return http::error_response(416, "range", "past the end");
      head.status = 206;
      head.headers.set("Content-Range",
                       "bytes " + std::to_string(from) + "-" + std::to_string(body.size() - 1) +
                           "/" + std::to_string(body.size()));
      body.erase(0, from);
    } else if (has_digests) {
      head.headers.set("Content-Digest", digest_of(body));
    }
    co_return with_items(request, std::move(head), std::move(body));
  }

  static std::string digest_of(const std::string& bytes) {
    const Sha256Digest digest = sha256(bytes);
    return "sha-256=:" + to_base64(std::string(digest.begin(), digest.end())) + ":";
  }
  [[nodiscard]] std::string part(const Item& item, const std::string& id) const {
    return http::part_head("B",
                           "application/octet-stream",
                           {{"name", item.name},
                            {"data-type", item.data_type},
                            {"id", id},
                            {"size", std::to_string(item.bytes.size())}},
                           has_digests ? digest_of(item.bytes) : "") +
           item.bytes + "\r\n";
  }
  http::ServerResponse with_items(const http::ServerRequest& request,
                                  http::ServerResponse head,
                                  std::string body) {
    if (harm) harm(request, head, body);
    const std::optional<std::uint64_t> end = cut ? cut(request) : std::nullopt;
    head.source = std::make_unique<MeteredSource>(std::move(body), tells_length, end, payload);
    return head;
  }

  Awaitable<http::ServerResponse> remove(http::ServerRequest& request) {
    if (items.erase(request.params.at("id")) == 0) {
      co_return http::error_response(404, "not_found", "no such data");
    }
    co_return http::ServerResponse::empty(204);
  }

  Awaitable<http::ServerResponse> write(http::ServerRequest& request) {
    const std::string type(request.headers.find("content-type").value_or(""));
    http::MultipartReader reader(*http::MultipartReader::boundary_of(type),
                                 http::MultipartReader::Delimit::by_boundary);
    const Result<std::string> body = co_await http::read_body(request, request_max + 1);
    if (!body.ok()) co_return http::error_response(413, "too_large", "too large");
    if (body->size() > request_max) co_return http::error_response(413, "too_large", "too large");
    reader.feed(*body);
    std::string bytes;
    http::PartHeader header;
    for (;;) {
      const auto event = reader.next();
      if (!event.ok()) co_return http::error_response(400, "bad", event.error().detail);
      if (event->what == http::MultipartReader::What::part) header = reader.part();
      if (event->what == http::MultipartReader::What::data) bytes += event->data;
      if (event->what == http::MultipartReader::What::end) break;
      if (event->what == http::MultipartReader::What::need_input) {
        co_return http::error_response(400, "bad", "the body ended early");
      }
    }
    std::string id = header.get("id");
    if (request.method == http::Method::put) {
      if (!items.contains(id)) co_return http::error_response(404, "not_found", "no such data");
      items[id].bytes = bytes;
      ++items[id].version;
    } else {
      if (!id_of(header.get("name"), header.get("data-type")).empty()) {
        co_return http::error_response(409, "conflict", "it exists");
      }
      id = add(header.get("name"), header.get("data-type"), bytes);
    }
    const nlohmann::json answer = {{"data", nlohmann::json::array({metadata(id)})}};
    co_return http::ServerResponse::json(200, answer.dump());
  }

  Awaitable<http::ServerResponse> multipart(http::ServerRequest& request) {
    const Result<std::string> body = co_await http::read_body(request, 1 << 24);
    if (!body.ok()) co_return http::error_response(413, "too_large", "too large");
    if (request.has_query("uploads")) {
      const nlohmann::json order = nlohmann::json::parse(*body);
      const bool update = order.contains("existing_id");
      if (!update && !id_of(order["name"], order["data_type"]).empty()) {
        co_return http::error_response(409, "conflict", "it exists");
      }
      if (update && !items.contains(order["existing_id"])) {
        co_return http::error_response(404, "not_found", "no such data");
      }
      const std::string id = "u" + std::to_string(++last_);
      uploads[id].order = order;
      const nlohmann::json answer = {{"upload_id", id}, {"part_size", part_size}};
      co_return http::ServerResponse::json(200, answer.dump());
    }
    const std::string id = request.query_value("uploadId").value_or("");
    if (!uploads.contains(id)) co_return http::error_response(404, "not_found", "no such upload");
    if (request.method == http::Method::del) {
      uploads.erase(id);
      co_return http::ServerResponse::empty(204);
    }
    if (request.method == http::Method::put) {
      part_bytes += body->size();
      co_await together(parts_together, parts_at_once, most_parts_at_once);
      if (!uploads.contains(id)) {  // aborted meanwhile
        co_return http::error_response(404, "not_found", "no such upload");
      }
      uploads[id].parts[std::stoi(*request.query_value("partNumber"))] =
          hashes_only ? sha256_hex(*body) : *body;
      const nlohmann::json answer = {{"etag", "e" + *request.query_value("partNumber")}};
      co_return http::ServerResponse::json(200, answer.dump());
    }
    co_return complete(id, nlohmann::json::parse(*body));
  }

  /// Until so many are there, once.
  Awaitable<void> together(const int& wanted, int& now, int& most) {
    ++now;
    most = std::max(most, now);
    while (most < wanted) co_await clock_.sleep_for(Millis(1));
    --now;
  }

  http::ServerResponse complete(const std::string& upload_id, const nlohmann::json& body) {
    const Upload upload = uploads[upload_id];
    std::string bytes;
    int expected = 0;
    for (const auto& part : body["parts"]) {
      const int number = part["part_number"];
      const bool right = number == ++expected && part["etag"] == "e" + std::to_string(number);
      if (!right) return http::error_response(400, "bad", "parts out of order");
      bytes += upload.parts.at(number);
    }
    if (upload.order.value("size", bytes.size()) != bytes.size() && !hashes_only) {
      return http::error_response(400, "bad", "size");
    }
    std::string id = upload.order.value("existing_id", "");
    if (!id.empty() && !items.contains(id)) {
      return http::error_response(404, "not_found", "no such data");
    }
    if (id.empty() && !id_of(upload.order["name"], upload.order["data_type"]).empty()) {
      return http::error_response(409, "conflict", "it exists");
    }
    uploads.erase(upload_id);
    if (!id.empty()) {
      items.at(id).bytes = bytes;
      ++items.at(id).version;
    } else {
      id = add(upload.order["name"], upload.order["data_type"], bytes);
    }
    return http::ServerResponse::json(200, metadata(id).dump());
  }

  SystemClock clock_;
  TestLoop* loop_ = nullptr;
  std::unique_ptr<http::Server> server_;
  int last_ = 0;
  Nursery nursery_;
};

}  // namespace pn::testing
