#include "storage/parts_writer.hpp"

#include "base/file.hpp"
#include "base/result.hpp"
#include "http/multipart.hpp"
#include "storage/naming.hpp"

#include <cerrno>
#include <filesystem>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include <sys/stat.h>

namespace pn::storage {

namespace fs = std::filesystem;
using http::MultipartReader;

PartsWriter::PartsWriter(fs::path folder, const std::string& boundary)
    : folder_(std::move(folder)), reader_(boundary, MultipartReader::Delimit::by_size) {}

PartsWriter::~PartsWriter() {
  if (!made_ || finished_) return;
  file_.reset();
  std::error_code ignored;
  fs::remove_all(folder_, ignored);
}

Result<void> PartsWriter::consume(std::string_view bytes) {
  reader_.feed(bytes);
  for (;;) {
    const Result<MultipartReader::Event> event = reader_.next();
    if (!event.ok()) return event.error();
    Result<void> done;
    switch (event->what) {
      case MultipartReader::What::need_input:
      case MultipartReader::What::end:
        return {};
      case MultipartReader::What::part:
        done = begin_part();
        break;
      case MultipartReader::What::data:
        done = file_->write(event->data);
        current_.size += event->data.size();
        break;
      case MultipartReader::What::part_end:
        done = end_part();
        break;
    }
    if (!done.ok()) return done;
  }
}

Result<void> PartsWriter::begin_part() {
  if (!made_) {
    Result<void> parent = make_folders(folder_.parent_path());
    if (!parent.ok()) return parent;
    if (::mkdir(folder_.c_str(), 0755) != 0) {
      return from_errno(errno, "cannot create the folder " + folder_.string());
    }
    made_ = true;
  }
  current_ = InputFile();
  current_.id = DataId(reader_.part().get("id"));
  current_.name = reader_.part().get("name");
  current_.data_type = reader_.part().get("data-type");
  Result<WholeFile> file = WholeFile::create(folder_ / ".incoming");
  if (!file.ok()) return std::move(file).error();
  file_.emplace(*std::move(file));
  return {};
}

Result<void> PartsWriter::end_part() {
  const fs::path wanted = download_path(current_.name, current_.data_type);
  // Two names may differ only in characters that a file's name does not keep.
  fs::path path = wanted;
  for (int n = 2; !taken_.insert(path).second; ++n) {
    const std::string numbered = wanted.stem().string() + "_" + std::to_string(n);
    path = wanted.parent_path() / (numbered + wanted.extension().string());
  }
  current_.path = folder_ / path;
  Result<void> committed = file_->commit(current_.path);
  file_.reset();
  if (!committed.ok()) return committed;
  files_.push_back(std::move(current_));
  return {};
}

Result<std::vector<InputFile>> PartsWriter::finish() {
  const Result<void> ended = reader_.finish();
  if (!ended.ok()) return ended.error();
  if (files_.empty()) {
    return Error(ErrorKind::not_found, "data_missing", "the domain server sent no data item");
  }
  finished_ = true;
  return std::move(files_);
}

}  // namespace pn::storage
