"""Problems in: pictures of every kind, JSONL, JSON, parquet, folders, and the problems that we draw."""
