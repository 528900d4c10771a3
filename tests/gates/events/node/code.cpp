void f() {
  logger.info("lease.renewed", {{"task", id}});
  logger_.warn("lease.lost");
  log->debug("lease.renewed");
  parts.logger.warn(
      "disk.filled",
      {{"path", path}});
  not_a_log("file.name");
}
